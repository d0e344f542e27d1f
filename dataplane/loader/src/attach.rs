//! Programs on links: what `terway_guard` does with pinned programs, for those that are loaded here.

use std::{io, os::fd::AsFd};

use terway_guard::Program;
pub use terway_guard::{Attachment, Hook, Method};

use crate::{error::Error, programs::Programs};

impl Programs {
    /// Puts a program on a link, in the place of the one that an earlier agent put there.
    pub fn attach(&mut self, hook: Hook, link: u32) -> Result<Attachment, Error> {
        let failed = |source: io::Error| Error::Link { operation: "attach", hook, link, source };
        let program = self.loaded(hook)?;
        terway_guard::attach(&program, hook, &self.pins.path(""), link, self.method).map_err(failed)
    }

    /// Puts both programs of a pod on its host link.
    pub fn attach_pod(&mut self, link: u32) -> Result<Attachment, Error> {
        let mut attachment = Attachment::Clsact;
        for hook in Hook::POD {
            attachment = self.attach(hook, link)?;
        }
        Ok(attachment)
    }

    /// Takes a program from a link; one that is not there, or whose link is gone, is no error.
    pub fn detach(&mut self, hook: Hook, link: u32) -> Result<(), Error> {
        terway_guard::detach(hook, &self.pins.path(""), link).map_err(|source| Error::Link {
            operation: "detach",
            hook,
            link,
            source,
        })
    }

    /// Links that programs are pinned on, whether or not they still exist: for whoever takes away what is left.
    pub fn pinned(&self) -> Result<Vec<(Hook, u32)>, Error> {
        let folder = self.pins.path("");
        terway_guard::pinned_links(&folder).map_err(|source| Error::Pin {
            operation: "list",
            path: folder,
            source,
        })
    }

    /// The program as it is pinned and attached.
    pub(crate) fn loaded(&mut self, hook: Hook) -> Result<Program, Error> {
        let program = self.program(hook)?;
        let fd = program
            .fd()
            .map_err(|source| Error::Verifier { program: hook.program(), source: Box::new(source) })?;
        Program::of(fd.as_fd()).map_err(|source| Error::Link {
            operation: "name the program of",
            hook,
            link: 0,
            source,
        })
    }
}
