//! The ring of slots through which the chunks pass on a GPU: see the documentation of the parent module.

use std::collections::VecDeque;

use super::{
    io::{Inputs, Sink, Source},
    slot::{Slot, Work},
};
use crate::error::Result;

/// The number of slots: while the device works on one, the CPU drains another and fills a third.
pub(super) const SLOTS: usize = 3;

/// Processes all of the inputs, and returns the number of bytes of each. Adds the slots that it creates to `slots`.
pub(super) async fn run(
    work: &Work<'_>,
    slots: &mut Vec<Slot>,
    inputs: &mut Inputs<impl Source, impl Source>,
    sink: &mut impl Sink,
) -> Result<u64> {
    let size = work.kernel.dtype().size() as u64;
    let mut total = 0;
    // The indices of the slots in use, oldest first, and the number of bytes in each. After an error, the next call
    // does not drain these slots but overwrites them.
    let mut in_use: VecDeque<(usize, u64)> = VecDeque::with_capacity(SLOTS);
    for index in (0..SLOTS).cycle() {
        if inputs.are_at_end()? {
            break;
        }
        // If all slots are in use, the oldest one is the slot that is filled next.
        if in_use.len() == SLOTS
            && let Some((oldest, bytes)) = in_use.pop_front()
        {
            slots[oldest].drain(work, bytes, sink).await?;
        }
        if slots.len() == index {
            slots.push(Slot::new(work)?);
        }
        let slot = &mut slots[index];
        let filled = slot.fill(work, inputs).await?;
        let bytes = filled.check(size, total)?;
        total += bytes;
        slot.submit(work, bytes)?;
        in_use.push_back((index, bytes));
    }
    for (index, bytes) in in_use {
        slots[index].drain(work, bytes, sink).await?;
    }
    Ok(total)
}
