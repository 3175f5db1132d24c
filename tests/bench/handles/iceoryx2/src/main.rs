//! iceoryx2's side of `bench-handles`, which starts this program: the same payload sizes, at the same rates.
//!
//! ```text
//! rounds DIR PREFIX                 for each line N on the input: N rounds in one process, times as JSON
//! subscribe DIR PREFIX              says `ready`, then takes what is published and prints the latencies as JSON
//! publish DIR PREFIX FPS FRAMES     both sizes FPS times a second, woken by iceoryx2's event
//! ```

use iceoryx2::port::listener::Listener;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Bytes of a handle, and of a 1080p frame with the row stride that Gantry gives it.
const SIZES: [(&str, usize); 2] = [("small", 192), ("frame", 1920 * 1080 * 3 / 2)];
/// Without a message for so long the subscriber gives up.
const SILENCE: Duration = Duration::from_secs(20);

type Outcome<T> = Result<T, Box<dyn Error>>;
type Bytes = Publisher<ipc::Service, [u8], ()>;
type Received = Subscriber<ipc::Service, [u8], ()>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = run(&words);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: bench-handles-iceoryx2: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Outcome<()> {
    match words[..] {
        ["rounds", dir, prefix] => rounds(&node(dir, prefix)?),
        ["subscribe", dir, prefix] => subscribe(&node(dir, prefix)?),
        ["publish", dir, prefix, fps, frames] => publish(&node(dir, prefix)?, fps, frames),
        _ => Err("started with other arguments than bench-handles gives: `cargo xtask bench handles`".into()),
    }
}

fn now_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// A node whose files lie in `dir` and, in /dev/shm, carry `prefix`, so that runs do not meet.
fn node(dir: &str, prefix: &str) -> Outcome<Node<ipc::Service>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    config.global.set_root_path(&Path::new(dir.as_bytes())?);
    config.global.prefix = FileName::new(prefix.as_bytes())?;
    Ok(NodeBuilder::new().config(&config).create::<ipc::Service>()?)
}

fn ports(node: &Node<ipc::Service>, name: &str, bytes: usize) -> Outcome<(Bytes, Received)> {
    let service = node.service_builder(&name.try_into()?).publish_subscribe::<[u8]>().subscriber_max_buffer_size(16).open_or_create()?;
    Ok((service.publisher_builder().initial_max_slice_len(bytes).create()?, service.subscriber_builder().buffer_size(16).create()?))
}

/// Loans `len` bytes, writes frame number and time at the start and the number at the end, and sends.
fn send(publisher: &Bytes, len: usize, number: u64) -> Outcome<()> {
    let mut sample = publisher.loan_slice_uninit(len)?;
    let bytes = sample.payload_mut();
    let mut put = |at: usize, value: u64| {
        for (place, byte) in bytes[at..at + 8].iter_mut().zip(value.to_le_bytes()) {
            place.write(byte);
        }
    };
    put(len - 8, number);
    put(0, number);
    put(8, now_ns());
    // SAFETY: the bytes lie in shared memory that the kernel gave out as zeros and that is only ever written as bytes, so every
    // one of them has a value. Nothing is copied: a frame's pixels are where their decoder wrote them.
    let sample = unsafe { sample.assume_init() };
    sample.send()?;
    Ok(())
}

/// Number and time of a received message; an error if its end is another's.
fn read(bytes: &[u8]) -> Outcome<(u64, u64)> {
    let at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (Some(number), Some(sent_ns), Some(end)) = (at(0), at(8), at(bytes.len().saturating_sub(8))) else {
        return Err(format!("a message of {} bytes", bytes.len()).into());
    };
    if number == end { Ok((number, sent_ns)) } else { Err(format!("message {number} ends as {end}").into()) }
}

fn rounds(node: &Node<ipc::Service>) -> Outcome<()> {
    let mut ends = Vec::new();
    for (name, bytes) in SIZES {
        ends.push((name, bytes, ports(node, &format!("rounds/{name}"), bytes)?));
    }
    for line in std::io::stdin().lock().lines() {
        let count: u64 = line?.trim().parse()?;
        let mut times = serde_json::Map::new();
        for (name, bytes, (publisher, subscriber)) in &ends {
            let mut took = Vec::with_capacity(count as usize);
            for number in 0..count {
                let started = now_ns();
                send(publisher, *bytes, number)?;
                let sample = subscriber.receive()?.ok_or("what was sent did not arrive")?;
                let found = read(sample.payload())?.0;
                drop(sample);
                took.push(now_ns() - started);
                if found != number {
                    return Err(format!("message {found} came instead of {number}").into());
                }
            }
            times.insert((*name).to_owned(), took.into());
        }
        say(&serde_json::Value::from(times).to_string())?;
    }
    Ok(())
}

fn subscribe(node: &Node<ipc::Service>) -> Outcome<()> {
    let mut subscribers = Vec::new();
    for (name, bytes) in SIZES {
        subscribers.push((name, ports(node, &format!("stream/{name}"), bytes)?.1, Vec::new()));
    }
    let event = node.service_builder(&"stream/sent".try_into()?).event().open_or_create()?;
    let listener: Listener<ipc::Service> = event.listener_builder().create()?;
    say("ready")?;
    let mut last = false;
    while !last {
        let mut woken = false;
        listener.timed_wait(|_| woken = true, SILENCE)?;
        if !woken {
            return Err(format!("nothing was published for {} s", SILENCE.as_secs()).into());
        }
        for (_, subscriber, took) in &mut subscribers {
            while let Some(sample) = subscriber.receive()? {
                let now = now_ns();
                let (number, sent_ns) = read(sample.payload())?;
                // The last one only ends the run.
                last |= number == u64::MAX;
                if number != u64::MAX {
                    took.push(now.saturating_sub(sent_ns));
                }
            }
        }
    }
    let times: serde_json::Map<_, _> = subscribers.into_iter().map(|(name, _, took)| (name.to_owned(), took.into())).collect();
    say(&serde_json::Value::from(times).to_string())
}

fn publish(node: &Node<ipc::Service>, fps: &str, frames: &str) -> Outcome<()> {
    let (fps, frames): (u64, u64) = (fps.parse()?, frames.parse()?);
    let mut publishers = Vec::new();
    for (name, bytes) in SIZES {
        publishers.push((bytes, ports(node, &format!("stream/{name}"), bytes)?.0));
    }
    let event = node.service_builder(&"stream/sent".try_into()?).event().open_or_create()?;
    let notifier = event.notifier_builder().create()?;
    let (started, step_ns) = (now_ns(), 1_000_000_000 / (fps * SIZES.len() as u64));
    for frame in 0..frames {
        for place in 0..publishers.len() as u64 {
            let due = started + (frame * publishers.len() as u64 + place) * step_ns;
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
            // In turn, so that no size always comes after the same pause.
            let (bytes, publisher) = &publishers[((place + frame) % publishers.len() as u64) as usize];
            send(publisher, *bytes, frame)?;
            notifier.notify()?;
        }
    }
    let (bytes, publisher) = &publishers[0];
    send(publisher, *bytes, u64::MAX)?;
    notifier.notify()?;
    say("done")?;
    // Until the subscriber has read, or the parent is gone.
    for line in std::io::stdin().lock().lines() {
        line?;
    }
    Ok(())
}

fn say(line: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
