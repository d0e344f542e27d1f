//! The audit log: JSON lines, a file per day or per so many bytes, deleted when they are old.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use k8s_openapi::jiff::Timestamp;

/// A file is put aside when it has so many bytes.
pub(crate) const ROTATE_BYTES: u64 = 64 << 20;
/// Or when it is so old.
const ROTATE_AGE: Duration = Duration::from_secs(24 * 3600);
/// Lines per second, at most; the rest is counted.
const RATE: u32 = 1000;

/// Where it is, and how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditConf {
    /// The file that is written.
    pub(crate) path: PathBuf,
    /// How long files that were put aside are kept.
    pub(crate) retention: Duration,
}

/// The log, open or not.
pub(crate) struct Audit {
    conf: AuditConf,
    rotate_bytes: u64,
    open: Option<Open>,
    failed: u64,
    second: u64,
    lines: u32,
    dropped: u64,
}

struct Open {
    file: File,
    began: SystemTime,
    bytes: u64,
}

/// `30d`, `12h`: how long something is kept.
pub(crate) fn retention(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let seconds = match unit {
        "d" => 24 * 3600,
        "h" => 3600,
        _ => return None,
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

impl Audit {
    /// Nothing is opened before the first line.
    pub(crate) fn new(conf: AuditConf, rotate_bytes: u64) -> Self {
        Self { conf, rotate_bytes, open: None, failed: 0, second: 0, lines: 0, dropped: 0 }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.conf.path
    }

    /// Whether nothing had failed before the last failure, since something was written.
    pub(crate) fn is_first_failure(&self) -> bool {
        self.failed == 1
    }

    /// Writes a line, unless there are too many in this second; those are told of in one line of the next.
    pub(crate) fn write(&mut self, line: &str, now: SystemTime) -> io::Result<()> {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            let dropped = std::mem::take(&mut self.dropped);
            (self.second, self.lines) = (second, 0);
            if dropped > 0 {
                let at = Timestamp::try_from(now).map(|at| at.to_string()).unwrap_or_default();
                let text = serde_json::json!({
                    "timestamp": at,
                    "event_type": "audit_summary",
                    "action": "DENY",
                    "severity": "MEDIUM",
                    "reason": "rate-limit",
                    "description": format!("{dropped} lines were left out: more than {RATE} a second"),
                    "source_ip": null,
                    "destination_ip": null,
                });
                self.put(&text.to_string(), now)?;
            }
        }
        if self.lines >= RATE {
            self.dropped += 1;
            return Ok(());
        }
        self.lines += 1;
        self.put(line, now)
    }

    fn put(&mut self, line: &str, now: SystemTime) -> io::Result<()> {
        let written = self.try_put(line, now);
        if written.is_ok() {
            self.failed = 0;
        } else {
            // The next line tries to open it anew.
            self.open = None;
            self.failed += 1;
        }
        written
    }

    fn try_put(&mut self, line: &str, now: SystemTime) -> io::Result<()> {
        let full = |open: &Open| {
            let old = now.duration_since(open.began).is_ok_and(|age| age >= ROTATE_AGE);
            open.bytes > 0 && (old || open.bytes + line.len() as u64 + 1 > self.rotate_bytes)
        };
        if self.open.as_ref().is_some_and(full) {
            self.open = None;
            self.put_aside(now)?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(open(&self.conf.path, now)?),
        };
        // One call, so that no line is ever half there.
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        open.file.write_all(&bytes)?;
        open.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file a name with its end in it, and deletes those of that form that are too old.
    fn put_aside(&self, now: SystemTime) -> io::Result<()> {
        let stamp = Timestamp::try_from(now).map_err(io::Error::other)?.strftime("%Y%m%dT%H%M%S").to_string();
        let mut aside = self.named(&stamp);
        let mut more = 1;
        while aside.exists() {
            aside = self.named(&format!("{stamp}-{more}"));
            more += 1;
        }
        fs::rename(&self.conf.path, aside)?;
        self.delete_old(now);
        Ok(())
    }

    fn named(&self, stamp: &str) -> PathBuf {
        let mut name = self.conf.path.as_os_str().to_owned();
        name.push(".");
        name.push(stamp);
        name.into()
    }

    fn delete_old(&self, now: SystemTime) {
        let (Some(folder), Some(name)) = (self.conf.path.parent(), self.conf.path.file_name()) else {
            return;
        };
        let prefix = format!("{}.", name.to_string_lossy());
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            let file = entry.file_name();
            let Some(stamp) = file.to_str().and_then(|file| file.strip_prefix(&prefix)) else { continue };
            let ours = stamp.len() >= 15
                && stamp.bytes().all(|byte| byte.is_ascii_digit() || byte == b'T' || byte == b'-');
            let age =
                entry.metadata().and_then(|it| it.modified()).ok().and_then(|at| now.duration_since(at).ok());
            if ours && age.is_some_and(|age| age > self.conf.retention) {
                // One that cannot be deleted now is tried at the next turn.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn open(path: &Path, now: SystemTime) -> io::Result<Open> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(path)?;
    let metadata = file.metadata()?;
    let bytes = metadata.len();
    // What a crash of the machine cut off must not swallow the next line.
    if bytes > 0 && !ends_with_newline(path)? {
        file.write_all(b"\n")?;
    }
    let began =
        if bytes == 0 { now } else { metadata.created().or_else(|_| metadata.modified()).unwrap_or(now) };
    Ok(Open { file, began, bytes })
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From now on: the file system stamps files with the real time, and age is reckoned against that.
    #[expect(clippy::disallowed_methods, reason = "the file system stamps files with it")]
    fn at(seconds: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(seconds)
    }

    const RETENTION: u64 = 3 * 24 * 3600;

    fn log(folder: &Path, bytes: u64) -> Audit {
        let conf =
            AuditConf { path: folder.join("log/audit.log"), retention: Duration::from_secs(RETENTION) };
        Audit::new(conf, bytes)
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join("log")).expect("there").flatten();
        let mut names: Vec<String> =
            entries.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_put_aside_and_an_old_one_deleted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut audit = log(folder.path(), 100);
        for second in 0..3 {
            audit.write(&"x".repeat(60), at(second)).expect("written");
        }
        let names = files(folder.path());
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(names[0], "audit.log");
        assert!(names[1].starts_with("audit.log.20"), "{names:?}");
        let foreign = folder.path().join("log/audit.log.bak");
        fs::write(&foreign, "x").expect("written");
        audit.write(&"x".repeat(60), at(RETENTION + 60)).expect("written");
        let names = files(folder.path());
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(foreign.exists(), "what is not ours stays");
    }

    #[test]
    fn a_day_is_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut audit = log(folder.path(), ROTATE_BYTES);
        let now = at(0);
        audit.write("first", now).expect("written");
        audit.write("same day", now + Duration::from_secs(3600)).expect("written");
        assert_eq!(files(folder.path()).len(), 1);
        audit.write("next day", now + Duration::from_secs(24 * 3600)).expect("written");
        assert_eq!(files(folder.path()).len(), 2);
    }

    #[test]
    fn too_many_lines_are_counted_and_told_in_the_next_second() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut audit = log(folder.path(), ROTATE_BYTES);
        let now = at(0);
        for _ in 0..RATE + 7 {
            audit.write("{}", now).expect("written");
        }
        audit.write("{}", now + Duration::from_secs(1)).expect("written");
        let text = fs::read_to_string(audit.path()).expect("there");
        assert_eq!(text.lines().count(), RATE as usize + 2);
        assert!(text.contains("7 lines were left out"), "{text}");
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_swallow_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut audit = log(folder.path(), ROTATE_BYTES);
        fs::create_dir_all(folder.path().join("log")).expect("made");
        fs::write(audit.path(), "{\"half\":").expect("written");
        audit.write("{}", at(0)).expect("written");
        assert_eq!(fs::read_to_string(audit.path()).expect("there"), "{\"half\":\n{}\n");
    }

    #[test]
    fn a_folder_in_its_place_is_an_error_and_no_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut audit = log(folder.path(), ROTATE_BYTES);
        fs::create_dir_all(audit.path()).expect("made");
        audit.write("{}", at(0)).expect_err("it is a folder");
        assert!(audit.is_first_failure());
        fs::remove_dir(audit.path()).expect("removed");
        audit.write("{}", at(1)).expect("written");
    }

    #[test]
    fn retention_is_days_or_hours() {
        assert_eq!(retention("30d"), Some(Duration::from_secs(30 * 24 * 3600)));
        assert_eq!(retention("12h"), Some(Duration::from_secs(12 * 3600)));
        for bad in ["", "d", "0d", "30", "30m", "-1d", "1w"] {
            assert_eq!(retention(bad), None, "{bad}");
        }
    }
}
