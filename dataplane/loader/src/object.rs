//! The object that was built with this crate.

/// The object, for the loader; aligned as its parser wants it.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/terway-ebpf.o"));

/// SHA-256 of the sources that object and library were built from, in hexadecimal.
pub const SOURCE: &str = env!("TERWAY_EBPF_SOURCE");

/// With what it was compiled.
pub const TOOLCHAIN: &str = env!("TERWAY_EBPF_TOOLCHAIN");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_object_says_which_sources_it_is_of() {
        assert_eq!(SOURCE.len(), 64);
        assert!(OBJECT.windows(64).any(|window| window == SOURCE.as_bytes()), "built with {TOOLCHAIN}");
    }
}
