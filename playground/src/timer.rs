//! Measures the duration of compute passes with GPU timestamps, without waiting for them.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use eframe::{egui::mutex::Mutex, wgpu};

/// The number of passes whose timestamps may be on their way to the CPU at the same time.
const SLOTS: usize = 3;
/// The number of latest durations that are kept.
const MAX_DURATIONS: usize = 31;
/// The size of two timestamps in bytes.
const SIZE: u64 = 2 * wgpu::QUERY_SIZE as u64;

pub(crate) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    slots: [Slot; SLOTS],
    seconds_per_tick: f64,
    /// The latest durations, in seconds.
    durations: Arc<Mutex<VecDeque<f64>>>,
}

/// A staging buffer for two timestamps.
struct Slot {
    buffer: wgpu::Buffer,
    is_busy: Arc<AtomicBool>,
}

impl Timer {
    /// Returns `None` if the device has no timestamps.
    pub(crate) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Option<Self> {
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("playground timer"),
                size: SIZE,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("playground timer"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            slots: std::array::from_fn(|_| Slot {
                buffer: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
                is_busy: Arc::default(),
            }),
            seconds_per_tick: 1e-9 * f64::from(queue.get_timestamp_period()),
            durations: Arc::default(),
        })
    }

    /// Returns the timestamp writes for the descriptor of the timed pass.
    pub(crate) fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Records the copy of the timestamps, after the pass. If all slots are in use, this pass is not measured.
    pub(crate) fn finish(&self, encoder: &mut wgpu::CommandEncoder) {
        // `swap` also marks the slot as busy, until the callback below has read its timestamps.
        let is_free = |slot: &&Slot| !slot.is_busy.swap(true, Ordering::Relaxed);
        let Some(slot) = self.slots.iter().find(is_free) else {
            return;
        };
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &slot.buffer, 0, SIZE);
        let (buffer, is_busy) = (slot.buffer.clone(), slot.is_busy.clone());
        let (durations, per_tick) = (self.durations.clone(), self.seconds_per_tick);
        encoder.map_buffer_on_submit(&slot.buffer, wgpu::MapMode::Read, .., move |mapped| {
            if mapped.is_ok() {
                if let Ok(view) = buffer.get_mapped_range(..) {
                    let (start, end) = view.split_at(view.len() / 2);
                    let ticks = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
                    let seconds = ticks(end).saturating_sub(ticks(start)) as f64 * per_tick;
                    let mut durations = durations.lock();
                    if durations.len() == MAX_DURATIONS {
                        durations.pop_front();
                    }
                    durations.push_back(seconds);
                }
                buffer.unmap();
            }
            is_busy.store(false, Ordering::Relaxed);
        });
    }

    /// Returns the mean of the latest durations in seconds, or `None` before the first. Unlike a median, a mean can be
    /// finer than a tick of the clock.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let durations = self.durations.lock();
        (!durations.is_empty()).then(|| durations.iter().sum::<f64>() / durations.len() as f64)
    }

    /// Forgets all durations.
    pub(crate) fn reset(&self) {
        self.durations.lock().clear();
    }
}
