//! What the script can do to members and to the world.

use folkmoot_core::node::{Command, MeetingHandle, Tag};

use super::{Director, Played};
use crate::engine::Host as _;
use crate::hosts::NodeHost;
use crate::scenario::script::{Act, Disk, Who};
use crate::scenario::stage::code;

impl Director {
    /// Does what a step says.
    pub(super) fn act(&mut self, act: Act) {
        if act.is_fault() {
            let minute = self.stage.world.now().saturating_since(self.began).as_secs() / 60;
            self.hard.insert(minute);
        }
        let count = self.stage.members.len();
        let smaller = self.smaller;
        let members = |who: Who| who.members(count, smaller);
        let touched: Vec<_> = act.whom().into_iter().flatten().flat_map(members).collect();
        if act.is_of_network() {
            let now = self.stage.world.now();
            touched.iter().for_each(|n| self.check.disturbed(now, *n, act));
        }
        self.played.push(Played { at: self.stage.world.now(), act, members: touched });
        match act {
            Act::Start(who) => members(who).for_each(|n| self.start(n, false)),
            Act::StartSaved(who) => members(who).for_each(|n| self.start(n, true)),
            Act::Join(who, meeting) => members(who).for_each(|n| self.join(n, meeting)),
            Act::Say(who, meeting) => members(who).for_each(|n| self.say(n, meeting)),
            Act::Leave(who, meeting) => members(who).for_each(|n| self.leave(n, meeting)),
            Act::Crash(who) => members(who).for_each(|n| {
                self.stage.crash(n);
                self.check.crashed(n);
            }),
            Act::Suspend(who) => members(who).for_each(|n| {
                self.stage.world.suspend(self.stage.members[n].host);
                self.check.asleep(n, true);
            }),
            Act::Resume(who) => members(who).for_each(|n| {
                let host = self.stage.members[n].host;
                self.stage.world.resume(host);
                // It may have been carried elsewhere meanwhile.
                self.stage.world.with(host, |node: &mut NodeHost, cx| node.on_addresses(cx));
                self.stage.world.with(host, NodeHost::woke);
                self.check.asleep(n, false);
                self.listen(n);
            }),
            Act::Sever(a, b) => {
                for (a, b) in members(a).flat_map(|a| members(b).map(move |b| (a, b))) {
                    self.stage.world.sever(&[self.stage.members[a].host], &[self.stage.members[b].host]);
                    self.check.severed(a, b);
                }
            }
            Act::Mute(a, b) => {
                for (a, b) in members(a).flat_map(|a| members(b).map(move |b| (a, b))) {
                    self.stage
                        .world
                        .sever_one_way(&[self.stage.members[a].host], &[self.stage.members[b].host]);
                    self.check.severed(a, b);
                }
            }
            Act::Rejoin(a, b) => {
                for (a, b) in members(a).flat_map(|a| members(b).map(move |b| (a, b))) {
                    self.stage.world.rejoin(&[self.stage.members[a].host], &[self.stage.members[b].host]);
                    self.check.rejoined(a, b);
                }
            }
            Act::Heal => {
                self.stage.world.heal();
                self.check.healed();
            }
            Act::Reboot(who) => members(who).for_each(|n| self.stage.reboot_boxes(n)),
            Act::Renumber(who) => members(who).for_each(|n| self.stage.renumber_boxes(n)),
            Act::Move(who, place) => members(who).for_each(|n| self.stage.carry(n, Some(place))),
            Act::GoHome(who) => members(who).for_each(|n| self.stage.carry(n, None)),
            Act::Unplug(who) => {
                members(who).for_each(|n| self.stage.world.unplug(self.stage.members[n].host));
            }
            Act::SetClock(who, clock) => {
                members(who).for_each(|n| self.stage.world.set_clock(self.stage.members[n].host, clock));
            }
            Act::Harm(who, what) => members(who).for_each(|n| {
                self.stage.harm(n, |disk| match what {
                    Disk::Fails => disk.fill(true),
                    Disk::Works => disk.fill(false),
                    Disk::Loses => disk.lose_last(),
                    Disk::Damages => disk.damage(),
                });
            }),
            Act::Twin(who) => members(who).for_each(|n| self.stage.twin(n)),
            Act::Relink(who, link) => members(who).for_each(|n| {
                let host = self.stage.members[n].host;
                self.stage.world.network().set_link(host, link);
            }),
            Act::Restore(who) => members(who).for_each(|n| {
                let member = &self.stage.members[n];
                self.stage.world.network().set_link(member.host, member.link);
            }),
            Act::DhtDown(n) => self.stage.stop_dht(usize::from(n)),
            Act::DhtUp(n) => self.stage.start_dht(usize::from(n)),
            Act::StunDown(n) => self.stage.stop_stun(usize::from(n)),
            Act::StunUp(n) => self.stage.start_stun(usize::from(n)),
            Act::Settle(_) => {}
        }
        if matches!(act, Act::Move(..) | Act::GoHome(_) | Act::Unplug(_) | Act::Relink(..) | Act::Restore(_))
        {
            self.check.reckon(self.stage.verdicts());
            (0..count).for_each(|n| self.listen(n));
        }
        self.check.look_around(self.stage.world.now());
    }

    fn start(&mut self, n: usize, is_saved: bool) {
        self.check.started(n);
        self.stage.start(n, is_saved);
        self.listen(n);
    }

    fn join(&mut self, n: usize, meeting: u8) {
        if !self.check.is_here(n) {
            return;
        }
        let Ok(code) = code(meeting) else { return };
        self.check.joined(n, meeting);
        self.command(n, Command::Join { meeting: MeetingHandle(meeting.into()), code });
    }

    fn leave(&mut self, n: usize, meeting: u8) {
        if self.check.is_in(n, meeting) {
            self.command(n, Command::Leave { meeting: MeetingHandle(meeting.into()) });
            self.check.left(self.stage.world.now(), n, meeting);
        }
    }

    fn say(&mut self, n: usize, meeting: u8) {
        if !self.check.is_in(n, meeting) {
            return;
        }
        let (text, tag) = self.check.says(self.stage.world.now(), n, meeting);
        self.command(n, Command::Say { meeting: MeetingHandle(meeting.into()), tag: Tag(tag), text });
    }

    fn command(&mut self, n: usize, command: Command) {
        let host = self.stage.members[n].host;
        self.stage.world.with(host, |node: &mut NodeHost, cx| node.command(cx, command));
        self.listen(n);
    }
}
