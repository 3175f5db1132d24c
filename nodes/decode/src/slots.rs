//! How many slots the pool of frames gets.

/// What the number follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotPlan {
    /// Bytes of one slot.
    pub slot_bytes: u64,
    /// Slots that the graph asks for; 0 for none.
    pub asked: u32,
    /// Memory that a computed number may take.
    pub max_bytes: u64,
    /// Slots that decoders keep as reference pictures, all cameras together.
    pub decoder_held: u32,
    /// Frames in one message.
    pub group: u32,
    /// Cameras that share the pool.
    pub cameras: u32,
    /// Fewest slots with which the mode of the graph keeps its promise.
    pub fewest: u32,
}

/// Reference pictures, four messages under way per camera, and two reserved slots; less where memory is short, but never so
/// few that a decoder and one message do not fit.
///
/// One 1080p camera with groups of 8: 19 + 32 + 2 = 53 slots of 3.2 MB, 170 MB (touched only as far as they are used).
#[must_use]
pub fn plan_slots(plan: &SlotPlan) -> u32 {
    if plan.asked > 0 {
        return plan.asked;
    }
    let under_way = plan.group.saturating_mul(4).saturating_mul(plan.cameras);
    let wanted = plan.decoder_held.saturating_add(under_way).saturating_add(2);
    let affordable = u32::try_from(plan.max_bytes / plan.slot_bytes.max(1)).unwrap_or(u32::MAX);
    let fewest = plan.decoder_held.saturating_add(plan.group).saturating_add(10).max(plan.fewest);
    wanted.min(affordable).max(fewest).min(gantry_frames::MAX_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_cameras_and_groups_and_gives_way_to_memory() {
        let hd = SlotPlan { slot_bytes: 3_200_000, asked: 0, max_bytes: 512_000_000, decoder_held: 19, group: 8, cameras: 1, fewest: 0 };
        assert_eq!(plan_slots(&hd), 53);
        assert_eq!(plan_slots(&SlotPlan { slot_bytes: 12_500_000, ..hd }), 40);
        assert_eq!(plan_slots(&SlotPlan { slot_bytes: 50_000_000, ..hd }), 37);
        assert_eq!(plan_slots(&SlotPlan { fewest: 70, ..hd }), 70);
        assert_eq!(plan_slots(&SlotPlan { asked: 24, ..hd }), 24);
        assert_eq!(plan_slots(&SlotPlan { decoder_held: 38, cameras: 2, ..hd }), 104);
    }
}
