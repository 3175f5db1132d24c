use super::*;
use crate::Context;
use gantry_frames::{FrameMeta, Layout, Mode, Pool, SourceName, StopFlag, View};
use gantry_messages::{TracksRow, decode};
use std::path::PathBuf;

const FRAMES: &str = "frames";
const TRACKS: &str = "tracks";

struct Bench {
    delivery: Delivery,
    out: Outputs,
    pool: Pool,
    client: Client,
    dir: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Bench {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("gantry-delivery-{}-{name}", std::process::id()));
        let producer = Context::for_test("decode", Mode::Lossless, &dir).with_consumer("frames", "resize");
        let inputs = [(FRAMES, "frames/v1", "decode/frames".to_owned()), (TRACKS, "tracks/v1", "track/tracks".to_owned())];
        Self {
            delivery: Delivery::new(inputs),
            out: Outputs::collector(),
            pool: producer.pool("frames", 32, 128).unwrap(),
            client: Context::for_test("resize", Mode::Lossless, &dir).client(1).unwrap(),
            dir,
        }
    }

    /// Publishes a frame; the row that its message would have.
    fn publish(&self, source: &str, frame: u64) -> FrameRow {
        let layout = Layout::gray8(4, 2).unwrap();
        let meta = FrameMeta {
            source: SourceName::new(source).unwrap(),
            frame,
            pts_ns: 40 * frame as i64,
            captured_ns: -1,
            view: View { scale_x: 2.0, offset_y: -4.0, ..View::whole(4, 2) },
        };
        let published = self.pool.begin_write(&StopFlag::new()).unwrap().fill(layout).unwrap().publish(&meta);
        frame_row(&published.handle, &layout, &meta)
    }

    fn frames(&mut self, rows: &[FrameRow]) -> Vec<FrameRow> {
        rows_of(self.delivery.take(FRAMES, encode(rows).unwrap(), Some(&self.client), &mut self.out).unwrap())
    }

    fn tracks(&mut self, numbers: &[u64]) -> Vec<u64> {
        let rows: Vec<TracksRow> = numbers.iter().map(|n| TracksRow { source: "a".into(), frame: *n, ..Default::default() }).collect();
        let ready = self.delivery.take(TRACKS, encode(&rows).unwrap(), Some(&self.client), &mut self.out).unwrap();
        rows_of::<TracksRow>(ready).iter().map(|row| row.frame).collect()
    }

    fn tick(&mut self) -> Result<Vec<FrameRow>, Fault> {
        self.delivery.on_tick()?;
        let found = self.delivery.overdue(Some(&self.client), &mut self.out).unwrap();
        Ok(rows_of(found.into_iter().map(|(_, array)| array).collect()))
    }
}

fn rows_of<T: Message>(arrays: Vec<ArrayRef>) -> Vec<T> {
    arrays.iter().flat_map(|array| decode::<T>(array).unwrap()).collect()
}

fn end(source: &str, frame: u64) -> FrameRow {
    FrameRow { source: source.into(), frame, end: true, ..Default::default() }
}

#[test]
fn messages_in_order_pass_as_they_are() {
    let mut bench = Bench::new("order");
    let rows = [bench.publish("a", 0), bench.publish("b", 0), bench.publish("a", 1)];
    let array = encode(&rows).unwrap();
    let ready = bench.delivery.take(FRAMES, array.clone(), Some(&bench.client), &mut bench.out).unwrap();
    assert!(ready.len() == 1 && std::sync::Arc::ptr_eq(&ready[0], &array), "not even copied");
    assert_eq!(bench.frames(&[end("a", 2)]), [end("a", 2)]);
    assert_eq!(bench.out.counted("repeated_rows") + bench.out.counted("recovered_rows"), 0);
}

#[test]
fn rows_that_come_twice_or_late_are_sorted_out() {
    let mut bench = Bench::new("sort");
    assert_eq!(bench.tracks(&[0, 1]), [0, 1]);
    assert!(bench.tracks(&[4, 5]).is_empty());
    assert_eq!(bench.tracks(&[1, 2, 4]), [2]);
    assert_eq!(bench.tracks(&[3]), [3, 4, 5]);
    assert_eq!(bench.tracks(&[6, 6, 0]), [6]);
    assert_eq!(bench.out.counted("repeated_rows"), 4);
}

#[test]
fn frames_whose_messages_were_lost_are_pulled_and_are_the_very_same_rows() {
    let mut bench = Bench::new("pull");
    let numbers = [("b", 0), ("a", 0), ("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2), ("a", 4), ("a", 5), ("b", 3), ("a", 6), ("a", 7)];
    let sent = numbers.map(|(source, frame)| bench.publish(source, frame));
    // The first message is lost, and all but the third of four.
    let mut got = bench.frames(&sent[6..9]);
    assert_eq!(got.len(), 12, "what is behind it is pulled along");
    got.extend(bench.frames(&sent[9..]));
    assert_eq!(got.len(), 12, "and not told twice");
    let of = |rows: &[FrameRow], source: &str| rows.iter().filter(|row| row.source == source).cloned().collect::<Vec<_>>();
    for source in ["a", "b"] {
        assert_eq!(of(&got, source), of(&sent, source));
    }
    // The last ones and the end: nothing comes behind them.
    let last = [bench.publish("a", 8), bench.publish("b", 4)];
    assert!(bench.tick().unwrap().is_empty(), "something came since the last tick");
    assert_eq!(bench.tick().unwrap(), last);
    let closed = bench.delivery.close(FRAMES, Some(&bench.client), &mut bench.out).unwrap();
    assert_eq!(rows_of::<FrameRow>(closed), [end("a", 9), end("b", 5)]);
    assert_eq!(bench.out.counted("recovered_rows"), 11);
}

#[test]
fn when_not_even_the_pool_was_told_of_it_is_found_by_its_name() {
    let mut bench = Bench::new("find");
    assert!(bench.tick().unwrap().is_empty());
    let sent = [bench.publish("a", 0), bench.publish("a", 1)];
    assert_eq!(bench.tick().unwrap(), sent);
}

#[test]
fn a_node_that_was_started_again_goes_on_where_frames_are_not_acknowledged() {
    let mut bench = Bench::new("restart");
    let sent: Vec<FrameRow> = (0..6).map(|n| bench.publish("a", n)).collect();
    for row in &sent[..3] {
        bench.client.ack(&Handle::from_bytes(row.handle)).unwrap();
    }
    // Another process would have another client; the cursor is the producer's.
    let inputs = [(FRAMES, "frames/v1", "decode/frames".to_owned())];
    bench.delivery = Delivery::new(inputs);
    let mut client = Context::for_test("resize", Mode::Lossless, &bench.dir).client(1).unwrap();
    std::mem::swap(&mut client, &mut bench.client);
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(5);
    while bench.client.find("decode/frames").is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(bench.frames(&sent[5..]), sent[3..]);
}

#[test]
fn what_cannot_be_pulled_fails_and_is_named() {
    let mut bench = Bench::new("fail");
    assert_eq!(bench.tracks(&[0, 2, 3]), [0]);
    assert!(bench.tick().unwrap().is_empty());
    bench.delivery.patience = Duration::ZERO;
    let error = bench.tick().unwrap_err().to_string();
    assert!(error.contains("input `tracks`: frame 1 of camera `a` never came, 2 later ones wait"), "{error}");
    assert!(bench.delivery.close(TRACKS, None, &mut bench.out).is_err());
}

#[test]
fn a_message_of_another_type_is_left_to_the_stage() {
    let mut bench = Bench::new("type");
    let array: ArrayRef = std::sync::Arc::new(UInt64Array::from(vec![1, 2]));
    assert_eq!(bench.delivery.take(TRACKS, array.clone(), None, &mut bench.out).unwrap().len(), 1);
    assert_eq!(bench.delivery.take("credit", array, None, &mut bench.out).unwrap().len(), 1);
}
