//! The rules of every pod, as the tables have them.

use std::{fmt, net::IpAddr};

use serde::Serialize;

use super::{
    ExplainError, Explainer, NotAsked,
    side::{form, index_of},
    words,
};
use crate::{
    compile::Tier,
    model::{Direction, Name},
};

/// A rule in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DumpRule {
    /// Its policy's tier.
    pub tier: Tier,
    /// Its policy.
    pub policy: Name,
    /// Its place in the policy and direction, from 0.
    pub index: usize,
    /// Its own name, or nothing.
    pub name: String,
    /// `allow`, `deny` or `pass`.
    pub action: &'static str,
    /// Who.
    pub peers: String,
    /// Where.
    pub ports: String,
}

/// Rules of one direction, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DumpSide {
    /// Number of the rule set; pods with the same number share it. 0 is that there are no rules.
    pub rule_set: u32,
    /// NetworkPolicies that isolate the pod; without any, what no rule matches is allowed.
    pub isolated_by: Vec<Name>,
    /// Its rules.
    pub rules: Vec<DumpRule>,
}

/// A pod with its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodDump {
    /// The pod.
    pub pod: Name,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Why no policy is asked about it.
    pub not_asked: Option<NotAsked>,
    /// What comes.
    pub ingress: DumpSide,
    /// What goes.
    pub egress: DumpSide,
}

/// Every pod with its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dump {
    /// By name.
    pub pods: Vec<PodDump>,
}

impl Explainer<'_> {
    /// The rules of some pods, or of all.
    pub fn dump(&mut self, of: Option<&Name>) -> Result<Dump, ExplainError> {
        let snapshot = self.snapshot;
        if let Some(name) = of.filter(|name| !snapshot.pods.contains_key(name)) {
            return Err(ExplainError::NoPod { pod: name.clone(), similar: self.similar(name) });
        }
        let pods: Vec<_> =
            snapshot.pods.values().filter(|pod| of.is_none_or(|name| pod.name == *name)).collect();
        for pod in &pods {
            self.place(pod, &pod.ips);
        }
        self.publish()?;
        let pods = pods.into_iter().map(|pod| PodDump {
            pod: pod.name.clone(),
            addresses: pod.ips.clone(),
            not_asked: match (pod.finished, pod.host_network) {
                (true, _) => Some(NotAsked::Finished),
                (false, true) => Some(NotAsked::HostNetwork),
                (false, false) => None,
            },
            ingress: self.dump_side(&pod.name, Direction::Ingress),
            egress: self.dump_side(&pod.name, Direction::Egress),
        });
        Ok(Dump { pods: pods.collect() })
    }

    fn dump_side(&self, pod: &Name, direction: Direction) -> DumpSide {
        let endpoint = self.links.get(pod).and_then(|link| self.memory.endpoints.get(link));
        let rule_set = endpoint.map_or(0, |endpoint| endpoint.rules[usize::from(index_of(direction))]);
        let origins = (0..).map_while(|number: u32| self.compiler.origin(rule_set, number << 2));
        let rules = origins.map(|origin| {
            let form = form(self.snapshot, origin, direction);
            DumpRule {
                tier: origin.tier,
                policy: origin.policy.clone(),
                index: origin.index,
                name: origin.name.clone(),
                action: form.as_ref().map_or("deny", words::effect),
                peers: form
                    .as_ref()
                    .map_or("any peer".into(), |form| words::peers(form, &origin.policy.namespace)),
                ports: form.as_ref().map_or("everything".into(), words::ports),
            }
        });
        DumpSide {
            rule_set,
            isolated_by: self.compiler.isolated_by(rule_set).to_vec(),
            rules: rules.collect(),
        }
    }
}

impl DumpSide {
    fn write(&self, f: &mut fmt::Formatter<'_>, direction: Direction) -> fmt::Result {
        if self.rule_set == 0 {
            return writeln!(f, "  {direction}: not isolated");
        }
        let by: Vec<_> = self.isolated_by.iter().map(ToString::to_string).collect();
        let by = if by.is_empty() { "not isolated".into() } else { format!("isolated by {}", by.join(", ")) };
        writeln!(f, "  {direction}: rule set {}, {by}", self.rule_set)?;
        for (number, rule) in self.rules.iter().enumerate() {
            let DumpRule { policy, index, action, peers, ports, .. } = rule;
            let tier = match rule.tier {
                Tier::Policy => "",
                Tier::Admin => "admin ",
                Tier::Baseline => "baseline ",
            };
            let name = if rule.name.is_empty() { String::new() } else { format!(" \"{}\"", rule.name) };
            writeln!(
                f,
                "    {number}. {tier}{action} {peers}; {ports}  ({policy} {direction}[{index}]{name})"
            )?;
        }
        let rest = if self.isolated_by.is_empty() { "allow" } else { "deny" };
        writeln!(f, "    else {rest}")
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pod in &self.pods {
            let addresses: Vec<_> = pod.addresses.iter().map(ToString::to_string).collect();
            let addresses = if addresses.is_empty() { "no address".into() } else { addresses.join(", ") };
            writeln!(f, "{} ({addresses})", pod.pod)?;
            if let Some(because) = pod.not_asked {
                writeln!(f, "  {because}")?;
                continue;
            }
            pod.ingress.write(f, Direction::Ingress)?;
            pod.egress.write(f, Direction::Egress)?;
        }
        Ok(())
    }
}
