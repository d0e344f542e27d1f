//! LIST and WATCH: pages of what is, and streams of what becomes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;

use super::error::ApiError;
use super::object::Key;
use super::query::Query;
use super::resource::Resource;
use super::selector::Selector;
use super::state::State;
use super::store::{Change, ChangeKind};
use super::watch::{Watch, bookmark, error_line, line};
use crate::time;

/// A watch that was opened: its id and what its body must know.
pub(super) struct Opened {
    pub(super) id: u64,
    pub(super) timeout: Duration,
    pub(super) bookmarks: Option<Duration>,
}

impl State {
    /// One page of a list.
    pub(super) fn list(
        &mut self,
        client: usize,
        resource: Resource,
        selector: &Selector,
        query: &Query,
    ) -> Result<Bytes, ApiError> {
        let (revision, start) = match &query.continue_token {
            None => (self.revision, None),
            Some(token) => {
                let (revision, start) =
                    parse_token(token).ok_or_else(|| ApiError::bad_request("bad continue"))?;
                let floor = self.floor(client, resource);
                if revision < floor {
                    return Err(ApiError::expired(revision, floor));
                }
                (revision, Some(start))
            }
        };
        let own = self.clients[client].faults.empty_list.take();
        let lies = own || self.faults.empty_list.take();
        let table = self.table(resource);
        let limit = query.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let mut items = table.select(selector, start.as_ref()).peekable();
        let mut body = BytesMut::new();
        let mut last: Option<&Key> = None;
        let mut count = 0;
        while count < limit
            && !lies
            && let Some(object) = items.next()
        {
            if count > 0 {
                body.put_u8(b',');
            }
            body.put_slice(&object.json);
            last = Some(&object.key);
            count += 1;
        }
        let more = last.filter(|_| items.peek().is_some());
        let token = more.map(|key| format!("{revision}/{}/{}", key.namespace, key.name));
        let metadata =
            json!({ "resourceVersion": revision.to_string(), "continue": token.unwrap_or_default() });
        let head = format!(
            r#"{{"kind":"{}List","apiVersion":"{}","metadata":{metadata},"items":["#,
            resource.kind(),
            resource.group_version(),
        );
        let mut page = BytesMut::with_capacity(head.len() + body.len() + 2);
        page.put_slice(head.as_bytes());
        page.put_slice(&body);
        page.put_slice(b"]}");
        Ok(page.freeze())
    }

    /// Opens a watch, with whatever it must catch up on already queued.
    pub(super) fn watch(
        &mut self,
        client: usize,
        resource: Resource,
        selector: Selector,
        query: &Query,
    ) -> Result<Opened, ApiError> {
        let now = time::now();
        let version = query.resource_version.as_deref().filter(|version| !matches!(*version, "" | "0"));
        let version = version.map(|version| version.parse::<u64>().map_err(|_| version));
        let asked = version
            .transpose()
            .map_err(|version| ApiError::bad_request(format!("invalid resource version: `{version}`")))?;
        let floor = self.floor(client, resource);
        let expired = asked.filter(|asked| *asked < floor).map(|asked| ApiError::expired(asked, floor));
        if let Some(asked) = asked.filter(|asked| *asked > self.revision) {
            return Err(ApiError::version_too_large(asked, self.revision));
        }
        if let Some(expired) = &expired
            && self.model.gone_as_status
        {
            return Err(expired.clone());
        }
        if query.send_initial_events && !(query.match_not_older && query.bookmarks) {
            let why = "sendInitialEvents needs resourceVersionMatch=NotOlderThan and allowWatchBookmarks";
            return Err(ApiError::invalid(why));
        }
        let mut watch = Watch::new(resource, client, selector, query.bookmarks);
        let mut missed: Vec<Arc<Change>> = Vec::new();
        if let Some(expired) = &expired {
            watch.push(now, error_line(expired));
            watch.end = Some(super::watch::End::Closed);
        } else if asked.is_none() || query.send_initial_events {
            let present = self.table(resource).select(&watch.selector, None);
            let lines: Vec<Bytes> = present.map(|object| line(ChangeKind::Added, &object.json)).collect();
            for line in lines {
                watch.push(now, line);
            }
            if query.send_initial_events {
                watch.push(now, bookmark(resource, self.revision, true));
            }
        } else if let Some(asked) = asked {
            let concerns = |change: &&Arc<Change>| change.seen_by(&watch.selector).is_some();
            missed = self.table(resource).since(asked).filter(concerns).cloned().collect();
        }
        let id = self.watches.open(watch);
        for change in missed {
            self.deliver(id, &change, now, &mut Default::default());
        }
        let timeout = query.timeout.map_or(self.model.watch_timeout, Duration::from_secs);
        let bookmarks = self.model.bookmark_period.filter(|_| query.bookmarks);
        Ok(Opened { id, timeout, bookmarks })
    }

    /// The oldest revision that this client may resume from.
    fn floor(&self, client: usize, resource: Resource) -> u64 {
        self.table(resource).floor.max(self.clients[client].floor)
    }
}

/// `revision/namespace/name`, where the page before ended.
fn parse_token(token: &str) -> Option<(u64, Key)> {
    let mut parts = token.splitn(3, '/');
    let revision = parts.next()?.parse().ok()?;
    Some((revision, Key::new(parts.next()?, parts.next()?)))
}
