//! `ping`: echo requests, without a program for it.

use std::{net::IpAddr, process::ExitCode, time::Duration};

use serde_json::json;
use terway_e2e::{
    netns::Netns,
    target::Target,
    traffic::{Load, Protocol, send},
};
use terway_probe::icmp::LONGEST;
use tokio::time::Instant;

use super::{Which, exec::find, failure::Failure, print, runtime};

/// From one request to the next.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where from: a pod (NAME or NAMESPACE/NAME), node:N, or outside
    from: Target,
    /// Where to: as above, or an address
    to: Target,
    /// Bytes of each request, without headers
    #[arg(long, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u16).range(0..=LONGEST as i64))]
    size: u16,
    /// How many requests
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    /// Use IPv6
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

pub(super) fn ping(args: &Args) -> Result<ExitCode, Failure> {
    let (from, to) = (find(&args.which, &args.from)?, find(&args.which, &args.to)?);
    let netns =
        from.netns.ok_or_else(|| Failure::input(format!("`{}` is an address, not a place", args.from)))?;
    let netns = Netns::open(&netns).map_err(|error| Failure::failed(error.to_string()))?;
    let v6 = args.ipv6 || matches!(args.to, Target::Ip(IpAddr::V6(_)));
    let ip = to.ips.iter().copied().find(|ip| ip.is_ipv6() == v6).ok_or_else(|| {
        let family = if v6 { "IPv6" } else { "IPv4" };
        Failure::input(format!("`{}` has no {family} address", args.to))
            .hint("up with --ip-stack dual gives both")
    })?;
    if !args.json {
        print::out(&format!("{} to {} ({ip}): {} bytes\n", args.from, args.to, args.size));
    }
    let took = runtime()?.block_on(all(args, &netns, ip));
    let answers: Vec<f64> = took.iter().flatten().map(|took| took.as_secs_f64() * 1000.0).collect();
    let (sent, received) = (took.len(), answers.len());
    let least = answers.iter().copied().reduce(f64::min);
    let most = answers.iter().copied().reduce(f64::max);
    let mean = Some(answers.iter().sum::<f64>() / received as f64).filter(|_| received > 0);
    if args.json {
        print::out(&print::json(&json!({
            "from": args.from, "to": args.to, "address": ip, "bytes": args.size, "sent": sent,
            "received": received, "min_ms": least, "mean_ms": mean, "max_ms": most,
        })));
    } else {
        print::out(&format!("{sent} sent, {received} received\n"));
        if let (Some(least), Some(mean), Some(most)) = (least, mean, most) {
            print::out(&format!("min/mean/max {least:.3}/{mean:.3}/{most:.3} ms\n"));
        }
    }
    Ok(if received == sent { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn all(args: &Args, netns: &Netns, ip: IpAddr) -> Vec<Option<Duration>> {
    let mut took = Vec::new();
    for sequence in 1..=args.count {
        let start = Instant::now();
        let load = Load {
            sequence,
            patience: Duration::from_secs(args.timeout),
            ..Load::new(Protocol::Icmp, usize::from(args.size))
        };
        let answer = send(netns, None, ip, load);
        if !args.json {
            print::out(&match &answer {
                Ok(took) => format!("{sequence}: {:.3} ms\n", took.as_secs_f64() * 1000.0),
                Err(error) => format!("{sequence}: {error}\n"),
            });
        }
        took.push(answer.ok());
        if sequence < args.count {
            tokio::time::sleep_until(start + PERIOD).await;
        }
    }
    took
}
