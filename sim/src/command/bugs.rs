//! Deliberate bugs: mistakes compiled in to see whether the oracles notice.

use super::{Verdict, bad::Bad};

#[cfg(feature = "deliberate-bugs")]
#[expect(clippy::unnecessary_wraps, reason = "a build without the bugs has none to list, and fails")]
pub(crate) fn list() -> Result<Verdict, Bad> {
    use terway_core::probe::Bug;
    let rows: Vec<Vec<String>> =
        Bug::ALL.iter().map(|bug| vec![bug.name().to_owned(), bug.story().to_owned()]).collect();
    super::print::out(&super::print::table(&rows));
    Ok(Verdict::Held)
}

#[cfg(not(feature = "deliberate-bugs"))]
pub(crate) fn list() -> Result<Verdict, Bad> {
    Err(none())
}

/// Checks the name of a bug.
#[cfg(feature = "deliberate-bugs")]
pub(crate) fn known(name: Option<&str>) -> Result<(), Bad> {
    use terway_core::probe::Bug;
    let Some(name) = name.filter(|name| Bug::parse(name).is_none()) else { return Ok(()) };
    let bad = Bad::new(format!("there is no deliberate bug `{name}`"));
    let near = terway_chaos::near::nearest(name, Bug::ALL.iter().map(|bug| bug.name()));
    Err(bad.hint(
        near.map_or_else(
            || "`terway-sim bugs` lists them".to_owned(),
            |near| format!("did you mean `{near}`?"),
        ),
    ))
}

/// Checks the name of a bug: this build carries none.
#[cfg(not(feature = "deliberate-bugs"))]
pub(crate) fn known(name: Option<&str>) -> Result<(), Bad> {
    name.map_or(Ok(()), |_| Err(none()))
}

#[cfg(not(feature = "deliberate-bugs"))]
fn none() -> Bad {
    Bad::new("this build carries no deliberate bugs")
        .hint("build it with `cargo build --release -p terway-sim --features deliberate-bugs`")
}
