package route

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"

	"corbie/alerts"
	"corbie/munin"
)

// giveUp is how long after a problem's end its recovery is still worth telling.
const giveUp = alerts.Remembered

// item is one line of a message: a problem at the level that the receiver hears of.
type item struct {
	notice alerts.Notice
	from   munin.Level // level that the receiver knew; OK: none
	level  munin.Level // level now; OK: it is over
}

// plan is what one receiver is to be told of one group of problems, and what it will have been told then.
type plan struct {
	changed []item // news
	open    []item // told before, and still open
	// alerts is the same for Alertmanager's JSON: the ended and begun levels of changed, and the level of open.
	alerts []*alert.Alert
	firing []uint64 // fingerprints of all that is told and open afterwards
	reason notify.NotifyReason
	// forget says that firing lost something of which there is nothing to tell.
	forget bool
}

// due says whether there is anything to send.
func (p *plan) due() bool { return p.reason != notify.ReasonDoNotNotify }

// past is what the notification log says that a receiver was told of a group.
type past struct {
	firing map[uint64]bool
	at     time.Time // zero: never told of anything
}

// rules are what a receiver wants to hear.
type rules struct {
	on     []string
	repeat time.Duration // 0: never
	muted  func(p *problem, level munin.Level) bool
	acked  func(p *problem) bool // somebody takes care of it; nil: nobody does
	base   string                // address of the pages
}

// decide is the whole policy of who is told what:
//
//   - a problem is told once at each level that the receiver wants to hear of, unless it is muted;
//   - a problem that was told is told to be over exactly once, whatever is muted meanwhile;
//   - a problem that was not told is not told to be over;
//   - a change to a level that is muted or not wanted leaves the problem as it was told;
//   - a problem that somebody acknowledged is no reason to repeat a notice.
func decide(problems []*problem, before past, want rules, now time.Time) plan {
	d := decision{before: before, want: want, now: now, known: maps.Clone(before.firing)}
	for _, prob := range problems {
		d.problem(prob)
	}
	p := d.plan
	p.firing = slices.Sorted(maps.Keys(d.known))
	p.reason = reasonFor(&p, before)
	if len(p.changed) == 0 && d.repeatable && want.repeat > 0 && now.Sub(before.at) >= want.repeat {
		p.reason = notify.ReasonRepeatIntervalElapsed
	}
	return p
}

// decision is a plan in the making.
type decision struct {
	plan
	before     past
	want       rules
	now        time.Time
	known      map[uint64]bool // what is told and open afterwards
	repeatable bool
}

func (d *decision) problem(prob *problem) {
	told, hash := prob.told(d.before.firing)
	open := prob.notice.State.Open
	switch {
	case open == munin.OK && told == munin.OK:
	case open == munin.OK:
		delete(d.known, hash)
		d.end(prob, told)
	case told != open && wants(d.want.on, open.String()) && !d.want.muted(prob, open):
		if told != munin.OK {
			delete(d.known, hash)
			d.alerts = append(d.alerts, prob.alert(told, true, d.want.base))
		}
		d.known[uint64(prob.at(open).Fingerprint())] = true
		d.changed = append(d.changed, item{notice: prob.notice, from: told, level: open})
		d.alerts = append(d.alerts, prob.alert(open, false, d.want.base))
	case told != munin.OK:
		d.repeatable = d.repeatable || !d.want.muted(prob, told) && (d.want.acked == nil || !d.want.acked(prob))
		d.open = append(d.open, item{notice: prob.notice, from: told, level: told})
		d.alerts = append(d.alerts, prob.alert(told, false, d.want.base))
	}
}

// end tells that a problem is over, unless nobody wants to hear it or it is too long ago.
func (d *decision) end(prob *problem, told munin.Level) {
	if !wants(d.want.on, onRecovery) || d.now.Sub(prob.notice.State.Changed) > giveUp {
		d.forget = true
		return
	}
	d.changed = append(d.changed, item{notice: prob.notice, from: told, level: munin.OK})
	d.alerts = append(d.alerts, prob.alert(told, true, d.want.base))
}

func reasonFor(p *plan, before past) notify.NotifyReason {
	begun := slices.ContainsFunc(p.changed, func(it item) bool { return it.level != munin.OK })
	switch {
	case len(p.changed) == 0:
		return notify.ReasonDoNotNotify
	case len(before.firing) == 0:
		return notify.ReasonFirstNotification
	case begun:
		return notify.ReasonNewAlertsInGroup
	case len(p.firing) == 0:
		return notify.ReasonAllAlertsResolved
	}
	return notify.ReasonNewResolvedAlerts
}
