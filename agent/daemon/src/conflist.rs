//! The CNI configuration. A runtime takes the node for ready when it is there, so it is written when pods can be
//! served, by renaming: nobody ever reads half of it. It is never removed: without it no pod could be deleted.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

/// Name of the file; the first one in the folder by name is the node's network.
pub(crate) const FILE: &str = "10-terway.conflist";
/// Earlier form of it, which must not be there beside it.
const OLD: &str = "10-terway.conf";
/// Where the templates of the original are.
const TEMPLATES: [&str; 2] = ["/etc/eni/10-terway.conflist", "/etc/eni/10-terway.conf"];
/// Socket that a plugin calls by itself.
const DEFAULT_SOCKET: &str = "/var/run/eni/eni.socket";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConflistError {
    /// The template.
    #[error("cannot read the CNI configuration template {}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What is in it.
    #[error("the CNI configuration template {}: {why}", .path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file.
    #[error("cannot write the CNI configuration {}", .path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The list that is written, from a template or from nothing.
pub(crate) fn make(template: Option<&Path>, socket: &Path) -> Result<Value, ConflistError> {
    let found = TEMPLATES.iter().map(Path::new).find(|path| path.exists());
    let Some(path) = template.or(found) else { return Ok(list(vec![json!({"type": "terway"})], socket)) };
    let text =
        fs::read_to_string(path).map_err(|source| ConflistError::Unreadable { path: path.into(), source })?;
    let invalid = |why: String| ConflistError::Invalid { path: path.into(), why };
    let value: Value = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    from_template(value, socket).map_err(invalid)
}

fn from_template(value: Value, socket: &Path) -> Result<Value, String> {
    let Value::Object(mut object) = value else { return Err("it is not a JSON object".into()) };
    let plugins = match object.remove("plugins") {
        None => vec![Value::Object(object.clone())],
        Some(Value::Array(plugins)) => plugins,
        Some(other) => return Err(format!("`plugins` is {other}; expected a list")),
    };
    let is_terway = |plugin: &Value| plugin.get("type").and_then(Value::as_str) == Some("terway");
    let Some(ours) = plugins.iter().position(is_terway) else {
        return Err("no plugin in it has the `type` `terway`".into());
    };
    // Ours makes the interface that the others work on, wherever it was written.
    let mut ordered = vec![plugins[ours].clone()];
    ordered.extend(plugins.into_iter().enumerate().filter(|(index, _)| *index != ours).map(|(_, it)| it));
    Ok(list(ordered, socket))
}

/// Runtimes of CNI 1.0 cannot read a result of 1.1; newer ones take the highest version that they know.
fn list(plugins: Vec<Value>, socket: &Path) -> Value {
    let plugins: Vec<Value> = plugins
        .into_iter()
        .map(|plugin| {
            let mut plugin = match plugin {
                Value::Object(plugin) => plugin,
                other => return other,
            };
            plugin.remove("cniVersion");
            plugin.remove("name");
            if plugin.get("type").and_then(Value::as_str) == Some("terway") {
                complete(&mut plugin, socket);
            }
            Value::Object(plugin)
        })
        .collect();
    json!({
        "cniVersion": "1.0.0",
        "cniVersions": ["0.4.0", "1.0.0", "1.1.0"],
        "name": "terway",
        "plugins": plugins,
    })
}

fn complete(plugin: &mut Map<String, Value>, socket: &Path) {
    plugin.entry("capabilities").or_insert_with(|| json!({"bandwidth": true, "dns": true}));
    if socket != Path::new(DEFAULT_SOCKET) {
        plugin.entry("agent_socket").or_insert_with(|| socket.display().to_string().into());
    }
}

/// MTU that pods are given by this list; 0 is that of the primary interface.
pub(crate) fn mtu(list: &Value) -> u32 {
    let plugin = &list["plugins"][0];
    if plugin["auto_mtu"] == true && plugin.get("mtu").is_none() {
        return 0;
    }
    plugin["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok()).unwrap_or(1500)
}

/// Writes it, unless it is there already. Returns whether anything was written.
pub(crate) fn write(folder: &Path, list: &Value) -> Result<bool, ConflistError> {
    let path = folder.join(FILE);
    let unwritable = |source| ConflistError::Unwritable { path: path.clone(), source };
    let mut text = serde_json::to_vec_pretty(list).expect("a JSON value is JSON");
    text.push(b'\n');
    let same = fs::read(&path).is_ok_and(|there| there == text);
    if !same {
        fs::create_dir_all(folder).map_err(unwritable)?;
        // A name that no runtime reads.
        let aside = folder.join(format!(".{FILE}.new"));
        let written = (|| {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            fs::File::open(folder)?.sync_all()
        })();
        written.map_err(unwritable)?;
    }
    // It would be the second network of the node, and the first by name.
    match fs::remove_file(folder.join(OLD)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(error)),
        _ => Ok(!same),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: &str = "/run/x/eni.socket";

    fn made(template: Value) -> Result<Value, String> {
        from_template(template, Path::new(SOCKET))
    }

    #[test]
    fn one_plugin_becomes_a_list_and_keeps_its_keys() {
        let list = made(json!({"cniVersion": "0.4.0", "name": "terway", "type": "terway", "mtu": 9000}))
            .expect("made");
        assert_eq!(list["cniVersion"], "1.0.0");
        assert_eq!(list["plugins"][0]["mtu"], 9000);
        assert_eq!(list["plugins"][0]["agent_socket"], SOCKET);
        assert_eq!(list["plugins"][0].get("cniVersion"), None);
        assert_eq!(mtu(&list), 9000);
    }

    #[test]
    fn ours_comes_first_and_the_others_in_order() {
        let list = made(json!({"plugins": [{"type": "portmap"}, {"type": "terway"}, {"type": "bandwidth"}]}));
        let list = list.expect("made");
        let types: Vec<&Value> =
            list["plugins"].as_array().expect("a list").iter().map(|it| &it["type"]).collect();
        assert_eq!(types, ["terway", "portmap", "bandwidth"]);
    }

    #[test]
    fn a_template_without_us_is_refused() {
        for (template, word) in [
            (json!({"plugins": [{"type": "portmap"}]}), "`type` `terway`"),
            (json!({"plugins": {}}), "expected a list"),
            (json!([]), "not a JSON object"),
        ] {
            let error = made(template).expect_err(word);
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn it_is_written_once_and_the_old_form_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(OLD), "{}").expect("written");
        let list = list(vec![json!({"type": "terway"})], Path::new(DEFAULT_SOCKET));
        assert!(write(folder.path(), &list).expect("written"));
        assert!(!write(folder.path(), &list).expect("there already"));
        let names: Vec<_> =
            fs::read_dir(folder.path()).expect("read").map(|it| it.expect("read").file_name()).collect();
        assert_eq!(names, [FILE]);
        assert_eq!(list["plugins"][0].get("agent_socket"), None, "the plugin knows that one");
    }
}
