//! Runs preprocessing operators on each crop. Operators are shared libraries behind a C ABI (`gantry_operators`), loaded by
//! name; their pictures are written straight into the slot that `recognize` reads.
//!
//! ```yaml
//! - id: enhance
//!   path: bin/enhance
//!   inputs:
//!     tick: dora/timer/millis/500
//!     crops: { source: crop/crops, queue_size: 256, queue_policy: backpressure }
//!   outputs: [crops]
//!   env: { OPERATORS: "clahe,sharpen", OPTIONS: "clahe.clip_limit=3" }
//! ```
//!
//! The first `full_crops` crops of a track get every operator; later ones, which hardly differ from them, `operators_per_crop` of
//! them in turn. In live mode crops are passed as they are, without variants, where crops of frames before still wait for their reader, and so is the fourth
//! plate of a frame, the second where there has been more to read than there is time for: reads of many frames say more than variants of few
//! (`without_variants` in the statistics).
//!
//! With `MEMORY: cuda` the crops of a message lie on the card and are done together there, by kernels that give the bytes of the shipped operators'
//! libraries with the same options; other operators run on the CPU alone.
//!
//! An operator that returns an error or panics ends this node with an error that names it; one that breaks memory takes the
//! node's process with it, which the rest of the graph survives.

mod card;
mod contract;
pub mod kernels;
pub mod operators;
mod turns;

pub use contract::CONTRACT;
pub use turns::Turns;

use card::{Item, OnCard, TOGETHER};
use gantry_frames::{
    AcquireError, Acquired, Client, DType, DrainError, FrameMeta, Handle, Layout, Loaned, Memory, Mode, Pool, SourceName, StopFlag,
};
use gantry_images::{Rgb, gray_from_rgb};
use gantry_messages::{Crop, CropsRow};
use gantry_node::{Context, Fault, Input, Outputs, Shortage, Stage};
use gantry_operators::{Instance, Picture, PictureMut};
use serde::Deserialize;
use std::time::Instant;

/// Live: with as many crops that no reader has come to, the next has its original alone.
const MOST_UNREAD: u64 = 3;

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Params {
    pub operators: Vec<String>,
    #[serde(default)]
    pub operator_path: Option<String>,
    #[serde(default)]
    pub options: Option<String>,
    pub full_crops: u64,
    pub operators_per_crop: usize,
    pub memory: String,
    pub max_crop_pixels: u64,
    pub pool_slots: u32,
}

impl Params {
    /// Which of that many operators run on which crop.
    #[must_use]
    pub fn turns(&self, operators: usize) -> Turns {
        Turns::new(operators, self.full_crops, self.operators_per_crop)
    }
}

/// The node.
pub struct Enhance {
    operators: Vec<Instance>,
    on_card: Option<OnCard>,
    names: Vec<String>,
    turns: Turns,
    shortage: Shortage,
    max_crop_pixels: u64,
    most_crops: usize,
    pool: Pool,
    client: Client,
    mode: Mode,
    stop: StopFlag,
    rows: Vec<CropsRow>,
    used: Vec<Handle>,
}

impl Stage for Enhance {
    type Params = Params;
    const CONTRACT: gantry_contract::Contract = CONTRACT;

    fn open(p: Params, context: &Context) -> Result<Self, Fault> {
        let folders = operators::folders(p.operator_path.as_deref())?;
        let options = p.options.as_deref().unwrap_or_default();
        // Loaded for the card, too: the libraries say which options there are.
        let operators = operators::load(&p.operators, &folders, options)?;
        let memory = if p.memory == "cuda" { context.memory_of_card()? } else { Memory::Host };
        let on_card = match p.memory.as_str() {
            "cuda" => Some(OnCard::open(&memory, &operators, &operators::split_options(options, &p.operators)?)?),
            _ => None,
        };
        let slot_bytes = p.max_crop_pixels * (1 + operators.len() as u64);
        let turns = p.turns(operators.len());
        Ok(Self {
            pool: match &on_card {
                Some(_) => context.pool_in("crops", p.pool_slots, slot_bytes, 0, &memory)?,
                None => context.pool("crops", p.pool_slots, slot_bytes)?,
            },
            client: context.client_on(if on_card.is_some() { TOGETHER as u32 } else { 1 }, &memory)?,
            on_card,
            mode: context.mode,
            stop: context.stop.clone(),
            operators,
            names: p.operators,
            turns,
            shortage: Shortage::default(),
            max_crop_pixels: p.max_crop_pixels,
            most_crops: p.pool_slots as usize,
            rows: Vec::new(),
            used: Vec::new(),
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let (now, is_behind) = (Instant::now(), self.unread() > 0);
        if is_behind {
            self.shortage.met(now);
        }
        let most_unread = if self.shortage.lasts(now) { 1 } else { MOST_UNREAD };
        for mut row in input.rows::<CropsRow>()? {
            if row.crops.len() > self.most_crops {
                return Err(Fault::new(format!(
                    "camera `{}`, frame {} has {} crops, the pool {} slots",
                    row.source,
                    row.frame,
                    row.crops.len(),
                    self.most_crops
                ))
                .hint("raise `POOL_SLOTS` to that of `crop`"));
            }
            if self.on_card.is_some() {
                let Some(mut handles) = self.enhance_on_card(&mut row, out)? else { return Ok(()) };
                self.rows.push(row);
                self.used.append(&mut handles);
                continue;
            }
            let mut handles = Vec::with_capacity(row.crops.len());
            let mut kept = Vec::with_capacity(row.crops.len());
            for mut crop in std::mem::take(&mut row.crops) {
                let Some(slot) = self.slot(out)? else { return Ok(()) };
                let handle = Handle::from_bytes(crop.handle);
                let is_plain = is_behind || self.unread() >= most_unread;
                match self.enhance(&row, &mut crop, slot, is_plain) {
                    Ok(true) => {
                        kept.push(crop);
                        out.count("without_variants", u64::from(is_plain));
                    }
                    Ok(false) => out.count("crops_stale", 1),
                    Err(fault) => {
                        return Err(fault.context(format!("camera `{}`, frame {}, track {}", row.source, row.frame, crop.track_id)));
                    }
                }
                handles.push(handle);
            }
            out.count("crops", kept.len() as u64);
            row.crops = kept;
            self.rows.push(row);
            self.used.append(&mut handles);
        }
        self.flush(out)
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        self.flush(out)?;
        match self.pool.drain(&self.stop, None) {
            Ok(()) | Err(DrainError::Stopped { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

impl Enhance {
    /// Live: crops that no reader has come to yet.
    fn unread(&self) -> u64 {
        if self.mode == Mode::Live { self.pool.unseen().unwrap_or(0) } else { 0 }
    }

    /// Fills `slot` with the variants of `crop`, or its original alone; `false` if the crop was overwritten in live mode.
    fn enhance(&mut self, row: &CropsRow, crop: &mut Crop, mut slot: Loaned, is_plain: bool) -> Result<bool, Fault> {
        let Some(frame) = self.acquire(crop)? else { return Ok(false) };
        let image = frame
            .layout()
            .as_image()
            .ok_or_else(|| Fault::new("the crop is a tensor, a picture is wanted").hint("connect the output `crops` of `crop`"))?;
        let rgb = Rgb::of(image, frame.bytes())?;
        let (w, h) = (rgb.width, rgb.height);
        let area = w * h;
        self.check_size(w, h)?;
        let chosen = if is_plain { &[] } else { self.turns.next(&row.source, row.frame, crop.track_id) };
        let pictures = 1 + chosen.len();
        let bytes = slot.bytes_mut().get_mut(..area * pictures).ok_or_else(|| Fault::new("slot is too short for the variants"))?;
        let (original, variants) = bytes.split_at_mut(area);
        gray_from_rgb(&rgb, original);
        drop(frame);
        let original = Picture::new(original, w, h, w)?;
        crop.variants.clear();
        crop.variants.push("original".to_owned());
        for (&i, variant) in chosen.iter().zip(variants.chunks_exact_mut(area)) {
            let (operator, name) = (&mut self.operators[i], &self.names[i]);
            crop.variants.push(name.clone());
            operator
                .run(&original, &mut PictureMut::new(variant, w, h, w)?)
                .map_err(|e| Fault::from(e).hint(format!("take `{}` out of `OPERATORS` or repair it", operator.name())))?;
        }
        let layout = Layout::tensor(DType::U8, &[pictures as u32, h as u32, w as u32])?;
        crop.handle = *slot.fill(layout)?.publish(&meta_of(row)?).handle.as_bytes();
        Ok(true)
    }

    /// As `enhance`, for the crops of a row, several at once; their handles, or `None` if the node is to stop.
    fn enhance_on_card(&mut self, row: &mut CropsRow, out: &mut Outputs) -> Result<Option<Vec<Handle>>, Fault> {
        let (meta, mut handles) = (meta_of(row)?, Vec::with_capacity(row.crops.len()));
        let mut crops = std::mem::take(&mut row.crops).into_iter().peekable();
        while crops.peek().is_some() {
            let (mut items, mut layouts, mut kept) = (Vec::new(), Vec::new(), Vec::new());
            for mut crop in crops.by_ref().take(TOGETHER) {
                let Some(slot) = self.slot(out)? else { return Ok(None) };
                handles.push(Handle::from_bytes(crop.handle));
                let place = format!("camera `{}`, frame {}, track {}", row.source, row.frame, crop.track_id);
                let Some(frame) = self.acquire(&crop).map_err(|fault| fault.context(place.clone()))? else {
                    out.count("crops_stale", 1);
                    continue;
                };
                let (w, h, _) = card::size_of(&frame).map_err(|fault| fault.context(place.clone()))?;
                self.check_size(w as usize, h as usize).map_err(|fault| fault.context(place))?;
                let chosen = self.turns.next(&row.source, row.frame, crop.track_id).to_vec();
                layouts.push(Layout::tensor(DType::U8, &[1 + chosen.len() as u32, h, w])?);
                crop.variants.clear();
                crop.variants.push("original".to_owned());
                crop.variants.extend(chosen.iter().map(|i| self.names[*i].clone()));
                items.push(Item { crop: frame, chosen, slot });
                kept.push(crop);
            }
            let Some(card) = &mut self.on_card else { return Ok(None) };
            let place = format!("camera `{}`, frame {}", row.source, row.frame);
            let filled = card.enhance(items, &layouts).map_err(|fault| fault.context(place))?;
            for (crop, filled) in kept.iter_mut().zip(filled) {
                crop.handle = *filled.publish(&meta).handle.as_bytes();
            }
            out.count("crops", kept.len() as u64);
            row.crops.append(&mut kept);
        }
        Ok(Some(handles))
    }

    /// `None` if the crop was overwritten in live mode, or its producer was started again.
    fn acquire(&self, crop: &Crop) -> Result<Option<Acquired>, Fault> {
        match self.client.acquire(&Handle::from_bytes(crop.handle)) {
            Ok(frame) => Ok(Some(frame)),
            Err(AcquireError::Stale { .. }) => Ok(None),
            Err(AcquireError::Closed { .. }) if self.mode == Mode::Live => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn check_size(&self, w: usize, h: usize) -> Result<(), Fault> {
        let area = w * h;
        if area as u64 <= self.max_crop_pixels {
            return Ok(());
        }
        Err(Fault::new(format!("crop of {w}x{h} has {area} px, `max_crop_pixels` is {}", self.max_crop_pixels))
            .hint(format!("set `MAX_CROP_PIXELS` to {} (6 times the square of `crop`'s `MAX_HEIGHT_PX`)", area.next_power_of_two())))
    }

    /// A slot; what is finished goes out before a wait, the reader may need it to free one.
    fn slot(&mut self, out: &mut Outputs) -> Result<Option<Loaned>, Fault> {
        if let Some(slot) = self.pool.try_begin_write()? {
            return Ok(Some(slot));
        }
        self.flush(out)?;
        match self.pool.begin_write(&self.stop) {
            Ok(slot) => Ok(Some(slot)),
            Err(_) if self.stop.is_set() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Sends what is finished, then gives the crops it was made from back.
    fn flush(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        out.send("crops", &self.rows)?;
        self.rows.clear();
        for handle in self.used.drain(..) {
            match self.client.ack(&handle) {
                Ok(()) => {}
                // The producer was started again: nobody waits for this.
                Err(AcquireError::Closed { .. }) if self.mode == Mode::Live => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

fn meta_of(row: &CropsRow) -> Result<FrameMeta, Fault> {
    Ok(FrameMeta {
        source: SourceName::new(&row.source)?,
        frame: row.frame,
        pts_ns: row.pts_ns,
        captured_ns: row.captured_ns,
        ..FrameMeta::default()
    })
}
