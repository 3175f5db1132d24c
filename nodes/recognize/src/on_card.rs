//! Crops on a card: those of a message are read together, as many pictures in one run as the model's batch has.

use crate::pictures::{PicturesError, places};
use crate::{Desk, model_fault, text_of};
use gantry_frames::{Acquired, Handle};
use gantry_inference::{DeviceReader, TextRead};
use gantry_kernels::DeviceGrey;
use gantry_messages::{Crop, TextsRow};
use gantry_node::{Fault, Outputs};

/// Crops that the harness lets a reader hold at once.
pub const MOST_HELD: usize = 8;

impl Desk {
    /// Reads the crops of a message, each for the row at its index. `handles` takes what is to be acknowledged.
    pub(crate) fn read_together(
        &mut self,
        reader: &mut DeviceReader,
        crops: Vec<(usize, Crop)>,
        texts: &mut [TextsRow],
        handles: &mut Vec<Handle>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let mut held: Vec<(usize, Crop, Acquired)> = Vec::new();
        let mut pictures = 0;
        for (row, crop) in crops {
            let in_place = place_of(&crop, &texts[row]);
            let handle = Handle::from_bytes(&crop.handle).map_err(|e| Fault::from(e).context(in_place.clone()))?;
            handles.push(handle);
            let Some(acquired) = self.acquire(&handle, out).map_err(|fault| fault.context(in_place))? else { continue };
            if held.len() == MOST_HELD || (pictures > 0 && pictures + crop.variants.len() > reader.batch()) {
                self.read_held(reader, &mut held, texts, out)?;
                pictures = 0;
            }
            pictures += crop.variants.len();
            held.push((row, crop, acquired));
        }
        self.read_held(reader, &mut held, texts, out)
    }

    fn read_held(
        &mut self,
        reader: &mut DeviceReader,
        held: &mut Vec<(usize, Crop, Acquired)>,
        texts: &mut [TextsRow],
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        if held.is_empty() {
            return Ok(());
        }
        let mut pictures = Vec::new();
        for (row, crop, acquired) in &*held {
            let of_crop = |fault: Fault| fault.context(place_of(crop, &texts[*row]));
            pictures.extend(on_card(acquired, crop.variants.len()).map_err(of_crop)?);
        }
        let mut reads = reader.read(&pictures, self.params.top_k).map_err(|e| model_fault(&e))?.into_iter();
        drop(pictures);
        for (row, crop, acquired) in held.drain(..) {
            let own: Vec<TextRead> = reads.by_ref().take(crop.variants.len()).collect();
            out.count("crops", 1);
            out.count("pictures", own.len() as u64);
            texts[row].texts.push(text_of(crop, own, self.params.min_confidence));
            // The reads are on the host, so the stream is done with the pictures: no wait.
            acquired.release_after(reader.stream()).map_err(|e| Fault::new(e.to_string()).hint(e.hint()))?;
        }
        Ok(())
    }
}

fn place_of(crop: &Crop, row: &TextsRow) -> String {
    format!("crop of track {} in frame {} of `{}`", crop.track_id, row.frame, row.source)
}

/// The pictures of a crop, in the order of its variants.
fn on_card(acquired: &Acquired, names: usize) -> Result<Vec<DeviceGrey<'_>>, Fault> {
    let host = || Fault::new("a crop in host memory, the model reads the card's").hint("set MEMORY: cuda at `crop` and `enhance`");
    let slice = acquired.device().ok_or_else(host)?;
    let places = places(acquired.layout(), names)?;
    let one = |(index, place): (usize, crate::pictures::Place)| {
        if place.is_rgb {
            return Err(Fault::new("a colour picture on the card, the model reads grey ones there")
                .hint("put `enhance` between `crop` and `recognize`; with an empty `OPERATORS` it makes the grey original only"));
        }
        let cut_off = |e: gantry_cuda::CudaError| PicturesError::Pixels { index, reason: e.to_string() };
        let pixels = slice.part(place.offset, slice.len().saturating_sub(place.offset)).map_err(cut_off)?;
        Ok(DeviceGrey { pixels, width: place.width as u32, height: place.height as u32, stride: place.stride as u32 })
    };
    places.into_iter().enumerate().map(one).collect()
}
