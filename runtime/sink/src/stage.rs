use crate::body::{reading_entry, visit_entry};
use crate::delivery::{Counts, Delivery};
use crate::far_end::FarEnd;
use crate::params::SinkConfig;
use gantry_contract::Contract;
use gantry_messages::{ReadingRow, VisitRow};
use gantry_node::{Context, Episode, Fault, Input, Outputs, Stage};
use gantry_spool::{Entry, Spool, SpoolConfig, SpoolError, SpoolStats};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use tracing::{debug, error, info};

/// Entries that are held in memory while the disk takes none.
const MAX_HELD: usize = 10_000;

/// One kind of sink.
pub trait SinkNode: Sized + 'static {
    /// Parameters, with the names of the contract.
    type Params: DeserializeOwned;
    /// How entries get there.
    type Far: FarEnd;
    /// Ports and parameters.
    const CONTRACT: Contract;

    /// Checks the parameters. The far end need not be there.
    ///
    /// # Errors
    /// Parameters that can never work; credentials that cannot be had.
    fn open(params: Self::Params, context: &Context) -> Result<(SinkConfig, Self::Far), Fault>;
}

/// The node around it.
pub struct Sink<N> {
    config: SinkConfig,
    run: String,
    /// `None` once it has finished.
    delivery: Option<Delivery>,
    /// What the disk would not take.
    held: VecDeque<Entry>,
    /// What was counted so far.
    spool: SpoolStats,
    /// The disk takes nothing.
    holding: Episode,
    /// More is held than there is room for.
    dropping: Episode,
    /// The spool may not become larger.
    refusing: Episode,
    kind: std::marker::PhantomData<N>,
}

impl<N: SinkNode> Stage for Sink<N> {
    type Params = N::Params;
    const CONTRACT: Contract = N::CONTRACT;

    fn open(params: Self::Params, context: &Context) -> Result<Self, Fault> {
        let (config, far) = N::open(params, context)?;
        let spool = SpoolConfig { when_full: config.when_full, ..SpoolConfig::new(&config.spool_dir, config.spool_mb * 1_000_000) };
        let spool = Spool::open(spool).map_err(|e| {
            let hint = e.hint();
            Fault::from(e).context("parameter `SPOOL_DIR`").hint(hint)
        })?;
        let found = spool.stats();
        if found.waiting > 0 {
            info!(waiting = found.waiting, "readings of an earlier run wait in the spool");
        }
        if found.damaged_bytes > 0 {
            error!(bytes = found.damaged_bytes, "a part of the spool is damaged; the readings in it are lost");
        }
        let delivery = Some(Delivery::start(spool, &config.spool_dir, far, config.retry)?);
        Ok(Self {
            config,
            run: context.run_id.clone(),
            delivery,
            held: VecDeque::new(),
            spool: SpoolStats::default(),
            holding: Episode::default(),
            dropping: Episode::default(),
            refusing: Episode::default(),
            kind: std::marker::PhantomData,
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let mut entries = Vec::new();
        let mut captured = Vec::new();
        if input.port == "visits" {
            for row in input.rows::<VisitRow>()?.iter().filter(|row| !row.end) {
                entries.push(visit_entry(row)?);
                captured.push(row.captured_ns);
            }
        } else {
            for row in input.rows::<ReadingRow>()?.iter().filter(|row| !row.end) {
                entries.push(reading_entry(&self.run, row, self.config.evidence)?);
                captured.push(row.captured_ns);
            }
        }
        self.held.extend(entries);
        if self.spool_held(out) {
            out.age("spooled", captured);
        }
        Ok(())
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        self.spool_held(out);
        if let Some(delivery) = &self.delivery {
            delivery.tidy();
        }
        self.count(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let spooled = self.spool_held(out);
        if let Some(delivery) = self.delivery.take() {
            let (left, counts) = delivery.end(self.config.finish);
            add_counts(counts, out);
            out.gauge("spool_waiting", left as f64);
            if left > 0 {
                info!(left, "readings stay in the spool and are sent at the next start");
            }
        }
        if spooled {
            return Ok(());
        }
        Err(Fault::new(format!("{} readings are neither sent nor on the disk, and are lost", self.held.len()))
            .context(self.config.spool_dir.display().to_string())
            .hint("make room or name a folder that this user may write to in `SPOOL_DIR`"))
    }
}

impl<N> Sink<N> {
    /// Puts what is held onto the disk; whether nothing is held any more.
    fn spool_held(&mut self, out: &mut Outputs) -> bool {
        let Some(delivery) = &self.delivery else { return self.held.is_empty() };
        let n = self.held.len() as u64;
        if n == 0 {
            return true;
        }
        match delivery.take(self.held.make_contiguous()) {
            Ok(()) => {
                out.count("spooled", n);
                self.held.iter().for_each(|entry| debug!(key = entry.key, "spooled"));
                self.held.clear();
                self.refusing.ends();
                self.dropping.ends();
                if let Some(held) = self.holding.ends() {
                    info!(held_s = held.as_secs(), "the disk takes readings again; those that were held are in the spool");
                }
            }
            Err(error @ (SpoolError::Full { .. } | SpoolError::TooLarge { .. })) => {
                // `body` makes none that is too large.
                if self.refusing.begins() {
                    error!(hint = error.hint(), "readings are lost: {error}");
                }
                out.count("spool_refused", n);
                self.held.clear();
            }
            Err(error) => {
                if self.holding.begins() {
                    error!(hint = error.hint(), "readings are held in memory until the disk takes them: {error}");
                }
                let over = self.held.len().saturating_sub(MAX_HELD);
                if over > 0 && self.dropping.begins() {
                    error!("readings are lost: {MAX_HELD} are held, and the oldest go");
                }
                out.count("held_dropped", over as u64);
                self.held.drain(..over);
            }
        }
        self.held.is_empty()
    }

    fn count(&mut self, out: &mut Outputs) {
        let Some(delivery) = &self.delivery else { return };
        add_counts(delivery.counts(), out);
        let stats = delivery.spool().stats();
        let dropped = stats.dropped - self.spool.dropped;
        if dropped > 0 {
            error!(dropped, "the spool is full: the oldest readings are lost");
            out.count("spool_dropped", dropped);
        }
        self.spool = stats;
        out.gauge("spool_waiting", stats.waiting as f64);
        out.gauge("spool_bytes", stats.bytes as f64);
        out.gauge("held", self.held.len() as f64);
    }
}

fn add_counts(counts: Counts, out: &mut Outputs) {
    for (name, n) in [("sent", counts.sent), ("refused", counts.refused), ("failures", counts.failures), ("outages", counts.outages)] {
        if n > 0 {
            out.count(name, n);
        }
    }
}
