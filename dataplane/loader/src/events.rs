//! What the programs tell, by ring buffer.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aya::maps::{Map, MapData, MapError, RingBuf};
use terway_policy::layout::Event;

use crate::{error::Error, programs::Programs};

const NAME: &str = "terway_ev";

/// Events in the order in which they were told. Readable (poll, epoll) while there are any; one reader per set of maps.
pub struct Events(RingBuf<MapData>);

impl Programs {
    /// The reading end.
    pub fn events(&self) -> Result<Events, Error> {
        let shape = |error: MapError| Error::Shape {
            map: NAME,
            found: error.to_string(),
            expected: "a ring buffer".into(),
        };
        let map = Map::from_map_data(self.map(NAME)?).map_err(shape)?;
        Ok(Events(RingBuf::try_from(map).map_err(shape)?))
    }
}

impl Events {
    /// The next one, if there is one. An entry of another length is left out: another program wrote it.
    pub fn take(&mut self) -> Option<Event> {
        loop {
            let entry = self.0.next()?;
            if let Ok(event) = bytemuck::try_pod_read_unaligned(&entry) {
                return Some(event);
            }
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Events").field(&self.as_raw_fd()).finish()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
