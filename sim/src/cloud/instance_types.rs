//! Quotas of instance types: only figures that a public source states.
//!
//! Quotas differ by time and region, so a live `DescribeInstanceTypes` wins; scenarios that need
//! other figures change the limits of their instances.

use terway_core::limits::InstanceLimits;

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Instance-family tables of the vendor's documentation repository (AlibabaCloudDocs/ecs).
    FamilyTables,
    /// The same, completed from recorded API replies in public repositories.
    FamilyTablesAndReplies,
    /// The same, completed from mock data of an older Terway.
    FamilyTablesAndMocks,
    /// The same, completed from the sample reply on the page of `DescribeInstanceTypes`.
    FamilyTablesAndSample,
    /// Sample reply on the page of `DescribeInstanceTypes`.
    SampleReply,
    /// Recorded API replies in public repositories.
    RecordedReplies,
    /// Sample of the node annotation `alibabacloud.com/instance-type-info` in Terway.
    Annotation,
}

/// Quotas of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeRow {
    /// Name, `ecs.…`.
    pub name: &'static str,
    /// ENIs, the primary one included.
    pub enis: u32,
    /// IPv4 addresses per ENI, the primary one included.
    pub ipv4_per_eni: u32,
    /// IPv6 addresses per ENI, where a source states it.
    pub ipv6_per_eni: Option<u32>,
    /// Where from.
    pub source: Source,
}

impl TypeRow {
    /// As limits; an unknown number of IPv6 addresses counts as none.
    pub fn limits(&self) -> InstanceLimits {
        InstanceLimits::new(self.enis, self.ipv4_per_eni, self.ipv6_per_eni.unwrap_or(0))
    }
}

const fn row(name: &'static str, enis: u32, ipv4: u32, ipv6: Option<u32>, source: Source) -> TypeRow {
    TypeRow { name, enis, ipv4_per_eni: ipv4, ipv6_per_eni: ipv6, source }
}

use Source::{
    Annotation, FamilyTables, FamilyTablesAndMocks, FamilyTablesAndReplies, FamilyTablesAndSample,
    RecordedReplies, SampleReply,
};

/// All known types.
pub const TABLE: [TypeRow; 26] = [
    row("ecs.g7.large", 3, 6, None, FamilyTables),
    row("ecs.g7.xlarge", 4, 15, Some(15), FamilyTablesAndReplies),
    row("ecs.g7.2xlarge", 4, 15, Some(15), FamilyTablesAndMocks),
    row("ecs.g7.3xlarge", 8, 15, None, FamilyTables),
    row("ecs.g7.4xlarge", 8, 30, None, FamilyTables),
    row("ecs.g7.6xlarge", 8, 30, None, FamilyTables),
    row("ecs.g7.8xlarge", 8, 30, None, FamilyTables),
    row("ecs.g7.16xlarge", 8, 30, None, FamilyTables),
    row("ecs.g7.32xlarge", 15, 30, None, FamilyTables),
    row("ecs.g6.large", 2, 6, Some(1), FamilyTablesAndSample),
    row("ecs.g6.xlarge", 3, 10, None, FamilyTables),
    row("ecs.g6.2xlarge", 4, 10, None, FamilyTables),
    row("ecs.g6.3xlarge", 6, 10, None, FamilyTables),
    row("ecs.g6.4xlarge", 8, 20, None, FamilyTables),
    row("ecs.g6.6xlarge", 8, 20, None, FamilyTables),
    row("ecs.g6.8xlarge", 8, 20, None, FamilyTables),
    row("ecs.g6.13xlarge", 7, 20, None, FamilyTables),
    row("ecs.g6.26xlarge", 15, 20, None, FamilyTables),
    row("ecs.g6.16xlarge", 8, 20, Some(1), SampleReply),
    row("ecs.g6nv.8xlarge", 8, 20, Some(1), SampleReply),
    row("ecs.r6.8xlarge", 8, 20, None, RecordedReplies),
    row("ecs.u1-c1m4.xlarge", 3, 10, Some(1), RecordedReplies),
    row("ecs.ebmg5.24xlarge", 32, 10, Some(0), RecordedReplies),
    row("ecs.ic5.large", 2, 6, Some(0), RecordedReplies),
    row("ecs.t1.xsmall", 1, 1, Some(0), RecordedReplies),
    row("ecs.ebmre7p.32xlarge", 32, 15, Some(1), Annotation),
];

/// The row of a type.
pub fn lookup(name: &str) -> Option<&'static TypeRow> {
    TABLE.iter().find(|row| row.name == name)
}

/// The family of a type: `ecs.g7` of `ecs.g7.xlarge`.
pub fn family(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(family, _)| family)
}

/// The known name nearest to one that is not, by edit distance; the first of several.
pub fn nearest(name: &str) -> &'static str {
    TABLE.iter().map(|row| row.name).min_by_key(|known| distance(known, name)).expect("the table has rows")
}

fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
