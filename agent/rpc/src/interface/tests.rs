use super::*;

fn interface() -> NetConf {
    NetConf {
        ips: PodIps { v4: Ipv4Addr::new(10, 0, 3, 7), v6: Some("2408::7".parse().expect("valid")) },
        cidr: "10.0.3.0/24".parse().expect("valid"),
        gateway: Ipv4Addr::new(10, 0, 3, 253),
        eni: EniId::from("eni-1"),
        mac: Mac([0, 0x16, 0x3e, 0, 0, 1]),
        ifname: "eth0".into(),
        default_route: true,
        gateway6: Some("2408::fffd".parse().expect("valid")),
        extra_routes: vec!["10.9.0.0/16".parse().expect("valid")],
        bandwidth: Bandwidth { ingress: 1_000, egress: 2_000 },
        guard: Some(Guard { link: 0x4000_0007, pins: "/sys/fs/bpf/tc/globals".into() }),
    }
}

#[test]
fn an_interface_survives_the_wire() {
    let reply = alloc_reply(&[interface()]);
    assert!(reply.success && reply.ipv4 && reply.ipv6);
    assert_eq!(interfaces(reply.ip_type, &reply.net_confs), Ok(vec![interface()]));
}

#[test]
fn an_answer_without_interfaces_says_that_there_is_no_record() {
    assert_eq!(interfaces(0, &[]), Ok(Vec::new()));
}

#[test]
fn eth0_gets_the_default_route_where_none_is_marked() {
    let mut conf = wire::NetConf::from(&interface());
    conf.default_route = false;
    conf.ifname.clear();
    let read = interfaces(2, &[conf]).expect("valid");
    assert!(read[0].default_route);
    assert_eq!(read[0].ifname, "eth0");
}

#[test]
fn two_default_routes_are_refused() {
    let conf = wire::NetConf::from(&interface());
    let error = interfaces(2, &[conf.clone(), conf]).expect_err("two");
    assert_eq!(
        error.to_string(),
        "2 interfaces of the agent's answer have `DefaultRoute`; expected one of 2"
    );
}

#[test]
fn what_this_datapath_does_not_build_is_refused_by_name() {
    let mut conf = wire::NetConf::from(&interface());
    for (ip_type, value) in [(0, "VpcIp"), (1, "VpcEni"), (7, "7")] {
        let error = interfaces(ip_type, std::slice::from_ref(&conf)).expect_err("not a shared ENI");
        assert_eq!(error, InvalidAnswer::Unsupported { field: "IPType", value: value.into() });
    }
    conf.eni.as_mut().expect("there").trunk = true;
    let error = interfaces(2, &[conf]).expect_err("a trunk");
    assert_eq!(error, InvalidAnswer::Unsupported { field: "Trunk", value: "true".into() });
}

type Breakage = fn(&mut wire::NetConf);

#[test]
fn a_broken_field_is_named_with_its_value() {
    let breakages: [(&str, Breakage); 5] = [
        ("`BasicInfo` is missing", |conf| conf.basic = None),
        ("`ENIInfo` is missing", |conf| conf.eni = None),
        ("`MAC` is `nonsense`", |conf| conf.eni.as_mut().expect("there").mac = "nonsense".into()),
        ("`GatewayIP.IPv4` is missing", |conf| conf.basic.as_mut().expect("there").gateway = None),
        ("`ExtraRoutes.Dst` is `10.0.0.0`", |conf| {
            conf.extra_routes = vec![wire::Route { dst: "10.0.0.0".into() }];
        }),
    ];
    for (words, breakage) in breakages {
        let mut conf = wire::NetConf::from(&interface());
        breakage(&mut conf);
        let error = interfaces(2, &[conf]).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}
