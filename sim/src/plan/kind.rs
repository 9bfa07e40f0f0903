//! Kinds of faults: their names, and who of a storm's themes has them.
//!
//! A kind is added here, gets an arm where it strikes (`strike.rs`), one where it ends (`end.rs`),
//! and two in `bites.rs` that say who notices it.
//!
//! Places left open, each for the slice that brings its subject: the daemon alone dead or frozen
//! while its database lives (with the guard), lost connections of a database (with its router),
//! a service that hangs (with services), nodes that speak the protocol before (with its second
//! version). None of them has a kind before, so that no plan counts a fault that cannot bite.

/// What goes wrong. The order is that of their numbers at choice sites: it only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process dies and comes back later.
    Crash,
    /// A process dies and comes back at once.
    Restart,
    /// A process dies again and again, soon after each start.
    CrashLoop,
    /// A machine loses power.
    PowerCut,
    /// A machine loses power in the middle of a change of its disk.
    PowerCutInOperation,
    /// A process is stopped; its system goes on.
    FreezeProcess,
    /// A machine is suspended; its clocks show it.
    FreezeMachine,
    /// A machine is suspended; its clocks do not show it.
    FreezeUnseen,
    /// Some nodes and all others do not hear each other.
    Partition,
    /// The same in one direction.
    OneWayPartition,
    /// The same with any set of nodes.
    RandomPartition,
    /// Datagrams between some nodes and all others are lost; streams pass.
    DatagramsBlocked,
    /// A share of what passes between some nodes and all others is lost.
    LinkLoss,
    /// What passes between some nodes and all others is late.
    LinkDelay,
    /// Both clocks of a machine have another rate.
    ClockDrift,
    /// The wall clock of a machine jumps.
    WallJump,
    /// The monotonic clock of a machine jumps ahead.
    ClockJump,
    /// A disk refuses what needs space; later it has some.
    DiskFull,
    /// A disk takes its time.
    DiskSlow,
    /// Half of the nodes go down at once.
    HalfOutage,
    /// Half of the nodes go down one after the other.
    StaggeredOutage,
    /// One half goes down, and when it comes back the other one.
    AlternatingHalves,
    /// All machines lose power at once.
    PowerCutEverywhere,
    /// A node that waits becomes a learner.
    MemberAdded,
    /// Every learner becomes a voter.
    MembersPromoted,
    /// A voter leaves for good.
    MemberRemoved,
    /// Many clients more than usual.
    Overload,
    /// A process dies in the middle of a send.
    CrashInSend,
    /// The syncs of a disk fail and lose what they were to save.
    SyncsFail,
    /// Some jobs of a disk take much longer than the others.
    DiskStalls,
    /// Some packets are under way 10 to 100 times as long.
    HeavyTail,
    /// Some datagrams are overtaken.
    Reordering,
    /// Some packets arrive with a wrong byte.
    Corruption,
    /// What passes in one direction is late.
    OneWayDelay,
    /// Links are cut and whole in turns.
    Flapping,
    /// Each node hears its two neighbours only.
    Ring,
    /// Two groups hear one node in the middle, and not each other.
    Bridge,
    /// Whatever a machine does takes time.
    SlowNode,
    /// The wall clock of a machine is wrong for a while.
    WallOffset,
    /// A machine loses power and its disk.
    DiskWiped,
    /// The syncs of a disk are said to be done and are not, then its machine loses power.
    DiskLies,
    /// A byte rots on the disk of a node that is down; it starts again.
    DiskRots,
}

/// Every kind, by its name.
pub const ALL: [(&str, Kind); 42] = [
    ("crash", Kind::Crash),
    ("restart", Kind::Restart),
    ("crash loop", Kind::CrashLoop),
    ("power cut", Kind::PowerCut),
    ("power cut in an operation", Kind::PowerCutInOperation),
    ("freeze of a process", Kind::FreezeProcess),
    ("freeze", Kind::FreezeMachine),
    ("freeze unseen", Kind::FreezeUnseen),
    ("partition", Kind::Partition),
    ("one-way partition", Kind::OneWayPartition),
    ("random partition", Kind::RandomPartition),
    ("datagrams blocked", Kind::DatagramsBlocked),
    ("link loss", Kind::LinkLoss),
    ("link delay", Kind::LinkDelay),
    ("clock drift", Kind::ClockDrift),
    ("wall clock jump", Kind::WallJump),
    ("clock jump", Kind::ClockJump),
    ("full disk", Kind::DiskFull),
    ("slow disk", Kind::DiskSlow),
    ("half outage", Kind::HalfOutage),
    ("staggered outage", Kind::StaggeredOutage),
    ("alternating halves", Kind::AlternatingHalves),
    ("power cut everywhere", Kind::PowerCutEverywhere),
    ("member added", Kind::MemberAdded),
    ("members promoted", Kind::MembersPromoted),
    ("member removed", Kind::MemberRemoved),
    ("overload", Kind::Overload),
    ("crash in a send", Kind::CrashInSend),
    ("failing syncs", Kind::SyncsFail),
    ("disk stalls", Kind::DiskStalls),
    ("heavy tail", Kind::HeavyTail),
    ("reordering", Kind::Reordering),
    ("corruption", Kind::Corruption),
    ("one-way delay", Kind::OneWayDelay),
    ("flapping", Kind::Flapping),
    ("ring", Kind::Ring),
    ("bridge", Kind::Bridge),
    ("slow node", Kind::SlowNode),
    ("wall clock offset", Kind::WallOffset),
    ("wiped disk", Kind::DiskWiped),
    ("lying disk", Kind::DiskLies),
    ("rotten disk", Kind::DiskRots),
];

/// How many kinds there are.
pub const COUNT: usize = ALL.len();

impl Kind {
    /// Its place in [`ALL`].
    pub fn place(self) -> usize {
        self as usize
    }

    /// What readers call it.
    pub fn name(self) -> &'static str {
        ALL[self.place()].0
    }
}
