// Package alerts decides when a value is a problem, when a problem is over, and what of that is told.
//
// Step is the pure state machine of one watched field and StepHost that of a host; the Evaluator feeds them
// after every poll, keeps their states in the catalogue and hands what changed to a Teller, which is
// alerts/route in the running master. Nothing here sends anything.
package alerts

import (
	"math"
	"strconv"
	"time"

	"corbie/munin"
)

// Rule is what a field is judged by: its warning and critical levels as the plugin or the configuration gives
// them. The zero Rule watches nothing.
type Rule struct {
	Warning, Critical munin.Bounds
	// UnknownLimit is how many unknown values in a row leave the state as it is; 0 means
	// munin.DefaultUnknownLimit.
	UnknownLimit int
}

// RuleOf is the rule that a field's description carries.
func RuleOf(f *munin.Field) Rule {
	return Rule{Warning: f.Warning, Critical: f.Critical, UnknownLimit: f.UnknownLimit}
}

// IsZero says whether there is no level at all.
func (r Rule) IsZero() bool { return r.Warning.IsZero() && r.Critical.IsZero() }

// Judge finds the level of a known value and the bounds that it breaches, which are zero when it is OK. A value
// equal to a bound does not breach it, and nothing is rounded before it is compared.
func (r Rule) Judge(value float64) (munin.Level, munin.Bounds) {
	switch {
	case r.Critical.Outside(value):
		return munin.Critical, r.Critical
	case r.Warning.Outside(value):
		return munin.Warning, r.Warning
	}
	return munin.OK, munin.Bounds{}
}

func (r Rule) unknownLimit() int {
	if r.UnknownLimit > 0 {
		return r.UnknownLimit
	}
	return munin.DefaultUnknownLimit
}

// Event is what one step means to whoever is told of problems.
type Event int

// The events. Between a Problem and its Recovery there may be any number of Worse and Better.
const (
	None     Event = iota // nothing to tell
	Problem               // a problem begins
	Worse                 // the open problem has a higher level now
	Better                // the open problem has a lower level now, and is not over
	Recovery              // the problem is over
)

// String is the word that logs and messages use.
func (e Event) String() string {
	switch e {
	case None:
		return "none"
	case Problem:
		return "problem"
	case Worse:
		return "worse"
	case Better:
		return "better"
	case Recovery:
		return "recovery"
	}
	return "event(" + strconv.Itoa(int(e)) + ")"
}

// Step moves the state of one field by one evaluation. NaN is an unknown value.
//
// An unknown value never ends an open problem, nor changes it: after more unknown values in a row than the rule
// tolerates Level becomes Unknown, and Open stays. Only where no problem was open, not knowing becomes a problem
// of its own, of the level Unknown. A rule without levels ends whatever is open.
func Step(state munin.AlertState, rule Rule, value float64, now time.Time) (munin.AlertState, Event) {
	if state.Since.IsZero() {
		state.Since = now
	}
	state.Value = value
	if rule.IsZero() {
		return End(state, "it has no warning and critical levels any more", now)
	}
	if math.IsNaN(value) {
		return stepUnknown(state, rule, now)
	}
	state.Unknowns = 0
	level, bounds := rule.Judge(value)
	stillOutside := state.Bounds.Outside(value)
	before := state.Bounds
	if level != munin.OK {
		state.Bounds = bounds
		return open(state, level, describe(value, bounds), now)
	}
	reason := formatExact(value, before) + " is within its levels"
	if stillOutside && state.Open > munin.Unknown {
		reason = "its levels were changed: " + describe(value, before) + ", which is no problem any more"
	}
	return End(state, reason, now)
}

func stepUnknown(state munin.AlertState, rule Rule, now time.Time) (munin.AlertState, Event) {
	state.Unknowns = min(state.Unknowns+1, math.MaxInt32)
	if state.Unknowns <= rule.unknownLimit() && state.Level != munin.Unknown {
		return state, None
	}
	if state.Open > munin.Unknown {
		return enter(state, munin.Unknown, now), None
	}
	return open(state, munin.Unknown, "there was no value "+strconv.Itoa(state.Unknowns)+" times in a row", now)
}

// StepHost moves the state of a host: silent is whether it has failed to answer for too long, and reason says
// since when and why. The fields of a silent host are not evaluated at all, so that it is one problem.
func StepHost(state munin.AlertState, silent bool, reason string, now time.Time) (munin.AlertState, Event) {
	if state.Since.IsZero() {
		state.Since = now
	}
	state.Value = math.NaN()
	if silent {
		return open(state, munin.Critical, reason, now)
	}
	return End(state, "it answers again", now)
}

// End brings a state to OK, whatever it was; reason says why a problem that is open is over.
func End(state munin.AlertState, reason string, now time.Time) (munin.AlertState, Event) {
	state.Unknowns = 0
	state = enter(state, munin.OK, now)
	if state.Open == munin.OK {
		return state, None
	}
	state.Open, state.Changed, state.Reason = munin.OK, now, reason
	return state, Recovery
}

// open makes level the level of the open problem.
func open(state munin.AlertState, level munin.Level, reason string, now time.Time) (munin.AlertState, Event) {
	state = enter(state, level, now)
	before := state.Open
	state.Open, state.Reason = level, reason
	if level == before {
		return state, None
	}
	state.Changed = now
	switch {
	case before == munin.OK:
		state.OpenSince = now
		return state, Problem
	case level > before:
		return state, Worse
	}
	return state, Better
}

func enter(state munin.AlertState, level munin.Level, now time.Time) munin.AlertState {
	if state.Level != level {
		state.Level, state.Since = level, now
	}
	return state
}

// describe says in words how the value breaches the bounds: "97.2 is above 95".
func describe(value float64, bounds munin.Bounds) string {
	if bounds.HasLow && value < bounds.Low {
		return formatExact(value, bounds) + " is below " + formatShort(bounds.Low)
	}
	return formatExact(value, bounds) + " is above " + formatShort(bounds.High)
}

// formatExact shortens a value to six digits, unless it would then read like the bound that it is compared with.
func formatExact(value float64, bounds munin.Bounds) string {
	short := formatShort(value)
	if bounds.HasLow && short == formatShort(bounds.Low) && value != bounds.Low ||
		bounds.HasHigh && short == formatShort(bounds.High) && value != bounds.High {
		return strconv.FormatFloat(value, 'f', -1, 64)
	}
	return short
}

// formatShort writes up to six significant digits, and whole numbers without an exponent.
func formatShort(value float64) string {
	if value == math.Trunc(value) && math.Abs(value) < 1e15 {
		return strconv.FormatFloat(value, 'f', -1, 64)
	}
	return strconv.FormatFloat(value, 'g', 6, 64)
}
