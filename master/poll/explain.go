package poll

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// explain asks the node itself why plugins gave nothing, where it can say: Corbie's keeps how the last run of each went.
// It is asked only when something is amiss, or may be without being seen, as a spool holds only what went well. Nothing
// of it changes what the poll gave.
func (s *session) explain(client *wire.Client, spooled bool) {
	if s.known.mute || len(s.poll.Faults) == 0 && !spooled {
		return
	}
	status, known, err := client.Status()
	switch {
	case !known && err == nil:
		s.known.mute = true // Munin's own node is not asked again.
		return
	case !known:
		// One that does not answer it must not cost every poll its time.
		s.known.mute = !errors.Is(err, wire.ErrHungUp)
		return
	}
	for i := range status.Plugins {
		state := &status.Plugins[i]
		if !state.Unhealthy() || !s.wants(state.Plugin) {
			continue
		}
		s.poll.Faults = slices.DeleteFunc(s.poll.Faults, func(f munin.Fault) bool { return f.Plugin == state.Plugin && saysLittle(&f) })
		s.fault(munin.Fault{Plugin: state.Plugin, Reason: failure(state)})
	}
}

// saysLittle says whether a fault is that a plugin gave nothing, without a reason.
func saysLittle(f *munin.Fault) bool {
	said := strings.ToLower(f.Text)
	return f.Reason == gaveNothing || f.Reason == emptyConfig || strings.HasPrefix(said, "# bad exit") || strings.HasPrefix(said, "# timed out")
}

// wants says whether a plugin of the node is one of this session.
func (s *session) wants(plugin string) bool {
	return slices.Contains(s.poll.Plugins, plugin) && (len(s.opts.Only) == 0 || slices.Contains(s.opts.Only, plugin))
}

// failure says in words how a plugin's last run went wrong.
func failure(state *munin.PluginState) string {
	const at = "2006-01-02 15:04:05 UTC"
	var b strings.Builder
	fmt.Fprintf(&b, "%s failed on the node at %s: %s", state.Verb, state.Ran.UTC().Format(at), state.Failure)
	if state.ExitCode > 0 && !strings.Contains(state.Failure, "exit") {
		fmt.Fprintf(&b, " (exit code %d)", state.ExitCode)
	}
	if state.Took >= time.Second {
		fmt.Fprintf(&b, " after %s", munin.FormatDuration(state.Took.Round(time.Second)))
	}
	if state.Stderr != "" {
		fmt.Fprintf(&b, "; it wrote %q", state.Stderr)
	}
	if state.Good.IsZero() {
		b.WriteString("; it has not gone well since the node was started")
	} else {
		fmt.Fprintf(&b, "; it last went well at %s", state.Good.UTC().Format(at))
	}
	fmt.Fprintf(&b, "; to see more, run \"corbie-node run %s", state.Plugin)
	if state.Verb == "config" {
		b.WriteString(" config")
	}
	return b.String() + "\" there"
}
