//! The token bucket in netlink's terms.
//!
//! The kernel takes the burst in bytes and gives it back as the time that it lasts, in ticks of 64 ns. A bucket is
//! taken for the one that its rate and MTU call for when limit and time agree with it; so what we set is read back
//! as what we set.

use crate::state::Tbf;

const PARMS: u16 = 1;
const RATE64: u16 = 4;
const BURST: u16 = 6;
/// Bytes of `struct tc_tbf_qopt`: two `tc_ratespec`s and limit, buffer, mtu.
const QOPT: usize = 36;
const LINKLAYER_ETHERNET: u8 = 1;
const NS_PER_TICK: u128 = 64;

/// The attributes inside `TCA_OPTIONS`.
pub(crate) fn encode(tbf: &Tbf) -> Vec<u8> {
    let mut qopt = [0; QOPT];
    let rate = u32::try_from(tbf.rate).unwrap_or(u32::MAX);
    qopt[1] = LINKLAYER_ETHERNET;
    qopt[8..12].copy_from_slice(&rate.to_ne_bytes());
    qopt[24..28].copy_from_slice(&tbf.limit.to_ne_bytes());
    qopt[28..32].copy_from_slice(&ticks(tbf.rate, tbf.burst).to_ne_bytes());
    qopt[32..36].copy_from_slice(&tbf.minburst.to_ne_bytes());
    let mut options = Vec::new();
    attribute(&mut options, PARMS, &qopt);
    if rate == u32::MAX {
        attribute(&mut options, RATE64, &tbf.rate.to_ne_bytes());
    }
    attribute(&mut options, BURST, &tbf.burst.to_ne_bytes());
    options
}

/// The bucket of a dump; none when it is not understood.
pub(crate) fn decode(mut options: &[u8]) -> Option<Tbf> {
    let (mut qopt, mut rate64) = (None, None);
    while let [a, b, c, d, ..] = *options {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = options.get(4..length)?;
        match u16::from_ne_bytes([c, d]) {
            PARMS => qopt = Some(value.get(..QOPT)?),
            RATE64 => rate64 = Some(u64::from_ne_bytes(value.try_into().ok()?)),
            _ => {}
        }
        options = options.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let qopt = qopt?;
    let word = |at: usize| qopt.get(at..at + 4).and_then(|w| w.try_into().ok()).map(u32::from_ne_bytes);
    let rate = rate64.unwrap_or(word(8)?.into());
    let (limit, lasts, minburst) = (word(24)?, word(28)?, word(32)?);
    let meant = Tbf::new(rate, minburst);
    // The kernel multiplies and shifts where we divide.
    let slack = 2 + (lasts >> 16);
    if meant.limit == limit && ticks(rate, meant.burst).abs_diff(lasts) <= slack {
        return Some(meant);
    }
    let burst = u128::from(lasts) * NS_PER_TICK * u128::from(rate) / 1_000_000_000;
    Some(Tbf { rate, burst: u32::try_from(burst).unwrap_or(u32::MAX), limit, minburst })
}

/// How long a burst lasts. Rates so small that it does not fit wrap, as the kernel's do.
fn ticks(rate: u64, burst: u32) -> u32 {
    let nanos = u128::from(burst) * 1_000_000_000 / u128::from(rate.max(1));
    (nanos / NS_PER_TICK) as u32
}

fn attribute(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("a bucket's attributes are short");
    buffer.extend(length.to_ne_bytes());
    buffer.extend(kind.to_ne_bytes());
    buffer.extend(value);
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_of_ours_survives_the_kernels_units(rate in 1..=u64::MAX, mtu in 1280..=65535u32) {
            let tbf = Tbf::new(rate, mtu);
            prop_assert_eq!(decode(&encode(&tbf)), Some(tbf));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_bucket_of_somebody_else_is_not_taken_for_ours() {
        let other = Tbf { burst: 9_000, ..Tbf::new(1_000_000, 1500) };
        assert_ne!(decode(&encode(&other)), Some(Tbf::new(1_000_000, 1500)));
    }
}
