package node

import (
	"bytes"
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"corbie/munin"
)

// recorder remembers how the last runs of each plugin went, whoever asked for them. It may be used by several
// goroutines; the zero value is empty.
type recorder struct {
	mu   sync.Mutex
	runs map[string]*lastRuns
}

// lastRuns are a plugin's last run for its config and its last one for its values.
type lastRuns struct {
	config, fetch munin.PluginState
	good          time.Time // when a run last left neither failing
}

// record takes note of a run that was not interrupted. Runs for other purposes than config and values say
// nothing about the plugin's graphs.
func (r *recorder) record(name string, args []string, began time.Time, answer *Answer) {
	state := munin.PluginState{
		Plugin: name, Verb: "fetch", Ran: began, Took: time.Since(began), ExitCode: answer.ExitCode, Stderr: lastWords(answer.Stderr),
	}
	switch {
	case len(args) == 1 && args[0] == "config":
		state.Verb = "config"
	case len(args) > 0:
		return
	}
	switch {
	case answer.Err != nil:
		state.Failure = answer.Err.Error()
	case len(bytes.TrimSpace(answer.Output)) == 0:
		state.Failure = "it printed nothing"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs = make(map[string]*lastRuns)
	}
	last := r.runs[name]
	if last == nil {
		last = new(lastRuns)
		r.runs[name] = last
	}
	if state.Verb == "config" {
		last.config = state
	} else {
		last.fetch = state
	}
	if !last.config.Unhealthy() && !last.fetch.Unhealthy() {
		last.good = began
	}
}

// list tells the states of the named plugins, sorted by name, and forgets all others.
func (r *recorder) list(names map[string]bool) []munin.PluginState {
	r.mu.Lock()
	defer r.mu.Unlock()
	states := make([]munin.PluginState, 0, len(r.runs))
	for name, last := range r.runs {
		if !names[name] {
			delete(r.runs, name)
			continue
		}
		state := last.config
		if last.fetch.Ran.After(state.Ran) && !last.config.Unhealthy() || last.fetch.Unhealthy() {
			state = last.fetch
		}
		state.Good = last.good
		states = append(states, state)
	}
	slices.SortFunc(states, func(a, b munin.PluginState) int { return cmp.Compare(a.Plugin, b.Plugin) })
	return states
}

// States tells how the last runs of the plugins went, sorted by name. A plugin that has not run since the node
// started is not among them.
func (c *Catalogue) States() []munin.PluginState {
	c.mu.Lock()
	names := make(map[string]bool, len(c.entries))
	for name := range c.entries {
		names[name] = true
	}
	c.mu.Unlock()
	return c.states.list(names)
}

// status is the answer to the protocol's status command.
func (s *Server) status(context.Context) []byte {
	body := munin.AppendPluginStates(nil, s.catalogue.States())
	st, sampler, on := s.SpoolStatus()
	if !on {
		return body
	}
	return munin.AppendSpoolState(body, munin.SpoolState{
		Samples: st.Samples, Bytes: uint64(max(0, st.Bytes)), Oldest: st.Oldest, Newest: st.Newest, Fetched: st.Fetched,
		Lost: st.Lost, Damaged: uint64(max(0, st.Damaged)), Failures: sampler.Failures, Missed: sampler.Missed,
	})
}

// Texts that look like a password. What a plugin complains about goes to every master that may ask.
var (
	secretPair = regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:passw(?:or)?d|passwd|pwd|secret|token|api_?key|credentials?)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&,;]+)`)
	secretUser = regexp.MustCompile(`://[^/\s@]*:[^/\s@]*@`)
)

// lastWords is the last line that a plugin wrote to standard error, but for remarks, without what looks like a
// secret.
func lastWords(stderr []string) string {
	const longest = 1000 // before what is looked for in it costs time
	for _, line := range slices.Backward(stderr) {
		if len(line) > longest {
			line = line[:longest]
		}
		line = munin.CleanText(line)
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		line = secretUser.ReplaceAllString(line, "://***@")
		return secretPair.ReplaceAllString(line, "${1}***")
	}
	return ""
}
