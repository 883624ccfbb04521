package route

import (
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
	base   string // address of the pages
}

// decide is the whole policy of who is told what:
//
//   - a problem is told once at each level that the receiver wants to hear of, unless it is muted;
//   - a problem that was told is told to be over exactly once, whatever is muted meanwhile;
//   - a problem that was not told is not told to be over;
//   - a change to a level that is muted or not wanted leaves the problem as it was told.
func decide(problems []*problem, before past, want rules, now time.Time) plan {
	var p plan
	firing := make(map[uint64]bool, len(before.firing))
	for hash := range before.firing {
		firing[hash] = true
	}
	repeatable := false
	for _, prob := range problems {
		told, hash := prob.told(before.firing)
		open := prob.notice.State.Open
		it := item{notice: prob.notice, from: told, level: open}
		switch {
		case open == munin.OK && told == munin.OK:
		case open == munin.OK:
			delete(firing, hash)
			if !wants(want.on, onRecovery) || now.Sub(prob.notice.State.Changed) > giveUp {
				p.forget = true
				continue
			}
			p.changed = append(p.changed, it)
			p.alerts = append(p.alerts, prob.alert(told, true, want.base))
		case told != open && wants(want.on, open.String()) && !want.muted(prob, open):
			if told != munin.OK {
				delete(firing, hash)
				p.alerts = append(p.alerts, prob.alert(told, true, want.base))
			}
			firing[uint64(prob.at(open).Fingerprint())] = true
			p.changed = append(p.changed, it)
			p.alerts = append(p.alerts, prob.alert(open, false, want.base))
		case told != munin.OK:
			repeatable = repeatable || !want.muted(prob, told)
			it.level = told
			p.open = append(p.open, it)
			p.alerts = append(p.alerts, prob.alert(told, false, want.base))
		}
	}
	for hash := range firing {
		p.firing = append(p.firing, hash)
	}
	slices.Sort(p.firing)
	p.reason = reasonFor(&p, before)
	if len(p.changed) == 0 && repeatable && want.repeat > 0 && now.Sub(before.at) >= want.repeat {
		p.reason = notify.ReasonRepeatIntervalElapsed
	}
	return p
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
