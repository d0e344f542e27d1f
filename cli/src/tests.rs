//! The command line as a whole: what parses, and what does not.

use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn options_may_stand_before_and_after_the_command() {
    for line in [
        "terway-cli cloud --region cn-hangzhou --json describe-enis",
        "terway-cli cloud describe-enis --ours --json --ecs-endpoint http://127.0.0.1:1",
        "terway-cli cloud describe-enis eni-1 eni-2",
        "terway-cli cloud describe-vswitches --vpc vpc-1",
        "terway-cli cloud describe-vswitches vsw-1",
        "terway-cli cloud describe-security-groups sg-1 sg-2",
        "terway-cli cloud describe-instance-type ecs.g7.xlarge",
        "terway-cli cloud describe-route-tables vpc-1",
        "terway-cli cloud describe-route-entries vtb-1",
        "terway-cli cloud eni create --vswitch vsw-1 --security-group sg-1 --security-group sg-2 --ipv4 10 --tag a=b",
        "terway-cli cloud eni attach eni-1 i-1 --wait --wait-for 5",
        "terway-cli cloud eni detach eni-1 i-1",
        "terway-cli cloud eni delete eni-1 --wait",
        "terway-cli cloud ip assign eni-1 --ipv4 3 --client-token t",
        "terway-cli cloud ip unassign eni-1 10.0.0.1 2001:db8::1 10.0.0.16/28",
        "terway-cli cloud route create vtb-1 10.1.0.0/24 --instance i-1",
        "terway-cli cloud route delete vtb-1 rte-1",
        "terway-cli cloud whoami --metadata-endpoint http://127.0.0.1:1/instances/i-1",
        "terway-cli policy explain --from a/b --to 10.0.0.1 --port 80/TCP",
        "terway-cli policy --json explain -n a --from b --to c --port http --offline -f dir -f file.yaml",
        "terway-cli policy test expect.yaml -f dir --json",
        "terway-cli policy dump a/b --kubeconfig file --context name",
        "terway-cli policy dump --node --endpoint 10.0.0.1 --bpf-pin-dir dir --json",
        "terway-cli policy status --bpf-pin-dir dir --json",
        "terway-cli policy flows --endpoint cali1 --limit 5",
        "terway-cli completions bash",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn what_changes_something_needs_explicit_ids() {
    for line in [
        "terway-cli cloud eni delete",
        "terway-cli cloud eni detach eni-1",
        "terway-cli cloud ip unassign eni-1",
        "terway-cli cloud ip assign eni-1",
        "terway-cli cloud route delete vtb-1",
        "terway-cli cloud route create vtb-1 10.1.0.0/24",
        "terway-cli cloud eni create --vswitch vsw-1",
        "terway-cli cloud describe-vswitches",
        "terway-cli cloud describe-route-tables",
    ] {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} parsed"));
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument, "{line}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_bad_input() {
    for line in [
        "terway-cli cloud describe-enis eni-1 --ours",
        "terway-cli cloud describe-enis --on-instance i-1 --of-instance i-1",
        "terway-cli cloud ip assign eni-1 --ipv4 3 --ipv6 3",
        "terway-cli cloud ip assign eni-1 --ipv4 11",
        "terway-cli cloud ip assign eni-1 --ipv4 0",
        "terway-cli cloud ip unassign eni-1 not-an-address",
        "terway-cli cloud eni attach eni-1 i-1 --wait-for 5",
        "terway-cli cloud eni create --vswitch v --security-group s --tag novalue",
        "terway-cli cloud eni create --vswitch v --security-group s --ipv4 0",
        "terway-cli cloud route create vtb-1 10.1.0.0/24 --instance i-1 --eni eni-1",
        "terway-cli cloud route create vtb-1 10.1.0.1/24 --instance i-1",
        "terway-cli cloud whoami --access-key-id k",
        "terway-cli policy explain --from a/b --to c --port 80 --offline",
        "terway-cli policy explain --from a/b --to c --port 80 -f dir --kubeconfig file",
        "terway-cli policy explain --from a/b --to c --port 80 --node-address node-1",
        "terway-cli policy dump a/b --node",
        "terway-cli policy dump --node -f dir",
        "terway-cli policy dump --node --kubeconfig file",
        "terway-cli policy dump --endpoint 10.0.0.1",
        "terway-cli policy dump --bpf-pin-dir dir",
        "terway-cli policy flows --limit 0",
        "terway-cli completions tcsh",
    ] {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} parsed"));
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn every_command_says_what_it_is_for() {
    fn check(command: &clap::Command, path: &str) {
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name());
            assert!(inner.get_about().is_some(), "{path} has no help");
            for argument in inner.get_arguments().filter(|argument| argument.get_id() != "help") {
                assert!(argument.get_help().is_some(), "{path} {} has no help", argument.get_id());
            }
            check(inner, &path);
        }
    }
    check(&Cli::command(), "terway-cli");
}
