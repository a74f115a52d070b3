//! How many buffers an array of Arrow has, and how large each is: it follows from type, length and offset.

/// What the buffers of an array are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// None, or one without bytes.
    Nothing,
    /// Which items are there, and no more; the rest is in the children.
    Validity,
    /// Items of one bit.
    Bits,
    /// Items of so many bytes.
    Fixed(usize),
    /// Where each item begins, in numbers of eight bytes or of four, and maybe the bytes of all.
    Offsets { wide: bool, bytes: bool },
    /// Sixteen bytes for each item, buffers with the rest of long ones, and the sizes of these buffers.
    Views,
}

/// The layout of a type, by its text in Arrow's C interface; none for those that do not travel.
pub(crate) fn layout(format: &[u8]) -> Option<Layout> {
    Some(match format {
        b"n" => Layout::Nothing,
        b"b" => Layout::Bits,
        b"c" | b"C" => Layout::Fixed(1),
        b"s" | b"S" | b"e" => Layout::Fixed(2),
        b"i" | b"I" | b"f" | b"tdD" | b"tts" | b"ttm" | b"tiM" => Layout::Fixed(4),
        b"l" | b"L" | b"g" | b"tdm" | b"ttu" | b"ttn" | b"tiD" => Layout::Fixed(8),
        // The last two are those of polars, for numbers that Arrow does not have.
        b"tin" | b"_pli128" | b"_plu128" => Layout::Fixed(16),
        b"z" | b"u" => Layout::Offsets { wide: false, bytes: true },
        b"Z" | b"U" => Layout::Offsets { wide: true, bytes: true },
        b"vz" | b"vu" => Layout::Views,
        b"+l" | b"+m" => Layout::Offsets { wide: false, bytes: false },
        b"+L" => Layout::Offsets { wide: true, bytes: false },
        b"+s" => Layout::Validity,
        [b'+', b'w', b':', ..] => Layout::Validity,
        [b't', b's' | b'D', ..] => Layout::Fixed(8),
        [b'w', b':', size @ ..] => Layout::Fixed(std::str::from_utf8(size).ok()?.parse().ok()?),
        [b'd', b':', rest @ ..] => {
            let bits = std::str::from_utf8(rest).ok()?.split(',').nth(2);
            Layout::Fixed(bits.map_or(Ok(128), str::parse::<usize>).ok()? / 8)
        }
        _ => return None,
    })
}

impl Layout {
    /// Whether items can be left out at the beginning, eight at a time: not where children have as many.
    pub(crate) fn can_skip(&self) -> bool {
        !matches!(self, Layout::Nothing | Layout::Validity)
    }

    /// Where the items after the first `skipped`, of which there are eight or a multiple, begin in a buffer.
    pub(crate) fn start(&self, index: usize, skipped: usize) -> usize {
        match (self, index) {
            (_, 0) | (Layout::Bits, 1) => skipped / 8,
            (Layout::Fixed(size), 1) => skipped * size,
            (Layout::Offsets { wide, .. }, 1) => skipped * if *wide { 8 } else { 4 },
            (Layout::Views, 1) => skipped * 16,
            _ => 0,
        }
    }
}

/// The size of each buffer of an array; none if that cannot be. `number(buffer, place, wide)` reads a number of eight or four
/// bytes, and says -1 for what is not there.
pub(crate) fn sizes(
    kind: &Layout,
    length: usize,
    offset: usize,
    count: usize,
    number: &dyn Fn(usize, usize, bool) -> i64,
) -> Option<Vec<usize>> {
    let items = length.checked_add(offset)?;
    let validity = items.div_ceil(8);
    let size = |size: i64| usize::try_from(size).ok();
    let sizes = match kind {
        Layout::Nothing => vec![0; count.min(1)],
        Layout::Validity => vec![validity],
        Layout::Bits => vec![validity, validity],
        Layout::Fixed(bytes) => vec![validity, items.checked_mul(*bytes)?],
        Layout::Offsets { wide, bytes } => {
            let one = if *wide { 8 } else { 4 };
            if count != 2 + usize::from(*bytes) {
                return None;
            }
            // One of no items may have no numbers either.
            let numbers = if items == 0 { 0 } else { items.checked_add(1)?.checked_mul(one)? };
            let mut sizes = vec![validity, numbers];
            if *bytes {
                sizes.push(if items == 0 { 0 } else { size(number(1, items * one, *wide))? });
            }
            sizes
        }
        Layout::Views => {
            let more = count.checked_sub(3)?;
            let mut sizes = vec![validity, items.checked_mul(16)?];
            for index in 0..more {
                sizes.push(size(number(count - 1, index * 8, true))?);
            }
            sizes.push(more * 8);
            sizes
        }
    };
    (sizes.len() == count).then_some(sizes)
}
