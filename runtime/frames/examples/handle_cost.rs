//! What the handle layer costs on this machine: join, publish, observe, acquire + release, encode + check. Prints a table.
//!
//! `cargo run --release -p gantry-frames --example handle_cost`

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use gantry_frames::{Client, ClientConfig, ConsumerSpec, FrameMeta, Handle, Layout, Mode, Pool, PoolConfig, StopFlag};

const ROUNDS: usize = 200_000;

struct Times(Vec<u64>);

impl Times {
    fn measure<T>(mut step: impl FnMut(usize) -> T) -> Self {
        let mut times = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS {
            let started = Instant::now();
            black_box(step(round));
            times.push(started.elapsed().as_nanos() as u64);
        }
        Self(times)
    }

    fn print(mut self, what: &str, limit: &str) {
        self.0.sort_unstable();
        let at = |share: f64| self.0[(share * (self.0.len() - 1) as f64) as usize];
        println!("{what:<28} {:>8} {:>8} {:>8}   {limit}", at(0.5), at(0.99), at(0.999));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("gantry-handle-cost-{}", std::process::id()));
    let consumers = vec![ConsumerSpec { name: "reader".into(), max_held: 2, queue_size: 4 }];
    let layout = Layout::i420(1920, 1080)?;
    let pool = Pool::create(PoolConfig {
        runtime_dir: dir.clone(),
        output: "bench/frames".into(),
        mode: Mode::Live,
        slots: PoolConfig::min_slots(Mode::Live, &consumers, 0),
        slot_bytes: layout.byte_len(),
        producer_max_held: 0,
        consumers,
        grace: Duration::from_secs(1),
    })?;
    let stop = StopFlag::new();
    let publish = || -> Result<Handle, Box<dyn Error>> { Ok(pool.begin_write(&stop)?.fill(layout)?.publish(&FrameMeta::default()).handle) };

    let first = publish()?;
    let client = Client::new(ClientConfig { runtime_dir: dir.clone(), name: "reader".into(), max_held: 2 });
    let started = Instant::now();
    drop(client.acquire(&first)?);
    println!("join and first acquire: {:?} (limit 50 ms)", started.elapsed());

    println!("{:<28} {:>8} {:>8} {:>8}", "ns", "p50", "p99", "p99.9");
    Times::measure(|_| ()).print("clock alone", "");
    Times::measure(|_| client.acquire(&first).map(drop)).print("acquire + release", "p99 limit 1000");
    Times::measure(|_| first.decode_checked()).print("check of a handle", "p99 limit 2000 with encode");
    let mut handles = Vec::with_capacity(ROUNDS);
    Times::measure(|_| handles.extend(publish())).print("begin_write + fill + publish", "");
    let (mut new, mut used, mut last) = (Vec::with_capacity(1), 0, first);
    Times::measure(|_| {
        if let Ok(handle) = publish() {
            last = handle;
        }
        let _ = client.observe(&last, &mut new);
        used += new.drain(..).filter(|handle| client.acquire(handle).is_ok()).count();
    })
    .print("publish, observe, acquire", "");
    println!("{used} frames used; {:?}", client.stats());
    drop((client, pool));
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
