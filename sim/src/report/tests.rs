//! Reports are well formed, whatever the run was.

use super::sample;

/// Elements that have no end tag in HTML.
const VOID: [&str; 1] = ["meta"];

/// Walks the tags and checks that they close in order.
fn check_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        let name = tag.trim_start_matches('/').split_whitespace().next().expect("a tag has a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "unexpected </{name}>");
        } else if !VOID.contains(&name) {
            open.push(name);
        }
        // What stands in these is not markup.
        if name == "script" && !tag.starts_with('/') {
            rest = &rest[rest.find("</script>").expect("the script ends")..];
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn pages_are_well_formed_and_need_no_network() {
    for figures in [sample::busy(false), sample::busy(true), sample::quiet()] {
        let page = super::html(&figures);
        check_well_formed(&page);
        for word in ["NaN", "inf\"", "https://", "url(", "@import", "src="] {
            assert!(!page.contains(word), "{}: {word}", figures.scenario);
        }
        assert_eq!(page.matches("http://").count(), page.matches("http://www.w3.org/2000/svg").count());
        assert!(page.len() < 600_000, "{} bytes", page.len());
    }
}

#[test]
fn text_from_outside_is_escaped() {
    let page = super::html(&sample::busy(true));
    assert!(page.contains("default/&lt;web&gt;-2") && !page.contains("<web>"));
    assert!(page.contains("&lt;12 &amp; more&gt;"));
}

#[test]
fn the_verdict_is_in_the_first_words() {
    assert!(super::html(&sample::busy(false)).contains("<strong>All invariants held</strong>"));
    assert!(
        super::html(&sample::busy(true)).contains("<strong>3 violations, 1 expectation not met</strong>")
    );
}

#[test]
fn a_stored_document_gives_the_same_reports() {
    let figures = sample::busy(true);
    let stored: crate::figures::Figures = serde_json::from_str(&super::json(&figures)).unwrap();
    // Not compared as figures: reading a float may be off in its last bit, which no reader sees.
    assert!(super::html(&stored) == super::html(&figures));
    assert_eq!(super::text(&stored), super::text(&figures));
}

#[test]
fn colour_is_the_only_difference_of_the_coloured_summary() {
    let figures = sample::busy(true);
    let mut plain = super::coloured_text(&figures);
    for code in ["1", "31", "32", "0"] {
        plain = plain.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(plain, super::text(&figures));
}

#[test]
fn the_summary_of_a_quiet_run() {
    assert_eq!(super::text(&sample::quiet()), include_str!("tests/quiet.txt"));
}

#[test]
fn the_summary_of_a_broken_run() {
    assert_eq!(super::text(&sample::busy(true)), include_str!("tests/broken.txt"));
}

/// Writes the sample pages to look at: `cargo test -p terway-sim sample_pages -- --ignored`.
#[test]
#[ignore = "for looking at the pages in a browser"]
fn sample_pages() {
    let folder = std::env::temp_dir().join("terway-sim-report");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, figures) in
        [("busy", sample::busy(false)), ("broken", sample::busy(true)), ("quiet", sample::quiet())]
    {
        std::fs::write(folder.join(name).with_extension("html"), super::html(&figures)).unwrap();
        std::fs::write(folder.join(name).with_extension("txt"), super::text(&figures)).unwrap();
        std::fs::write(folder.join(name).with_extension("json"), super::json(&figures)).unwrap();
    }
}
