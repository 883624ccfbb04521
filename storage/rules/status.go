package rules

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"corbie/munin"
)

// health is how the last evaluation of a rule went.
type health struct {
	mu   sync.Mutex
	at   time.Time
	took time.Duration
	err  string
}

// note keeps how an evaluation went; it says whether this failure is worth a line of the log: the one before went well, or failed
// otherwise.
func (h *health) note(err error, at time.Time, took time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.err
	h.at, h.took, h.err = at, took, ""
	if err != nil {
		h.err = err.Error()
	}
	return h.err != "" && h.err != before
}

// The answers of Prometheus' HTTP API.
type (
	groupJSON struct {
		Name           string     `json:"name"`
		File           string     `json:"file"`
		Rules          []ruleJSON `json:"rules"`
		Interval       float64    `json:"interval"`
		Limit          int        `json:"limit"`
		EvaluationTime float64    `json:"evaluationTime"`
		LastEvaluation time.Time  `json:"lastEvaluation"`
	}
	ruleJSON struct {
		State          string            `json:"state,omitempty"`
		Name           string            `json:"name"`
		Query          string            `json:"query"`
		Duration       *float64          `json:"duration,omitempty"`
		KeepFiringFor  *float64          `json:"keepFiringFor,omitempty"`
		Labels         map[string]string `json:"labels"`
		Annotations    map[string]string `json:"annotations,omitempty"`
		Alerts         *[]alertJSON      `json:"alerts,omitempty"`
		Health         string            `json:"health"`
		LastError      string            `json:"lastError,omitempty"`
		EvaluationTime float64           `json:"evaluationTime"`
		LastEvaluation time.Time         `json:"lastEvaluation"`
		Type           string            `json:"type"`
	}
	alertJSON struct {
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
		State           string            `json:"state"`
		ActiveAt        time.Time         `json:"activeAt"`
		KeepFiringSince time.Time         `json:"keepFiringSince,omitzero"`
		Value           string            `json:"value"`
	}
)

// Groups answers /api/v1/rules, with its parameters type, rule_name[], rule_group[] and file[]. Who sees the hosts of some groups only is shown the rules that have
// alerts there, without their queries and what went wrong with them, which may name other hosts.
func (m *Manager) Groups(asked url.Values, seen []string) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := func(parameter, value string) bool {
		return len(asked[parameter]) == 0 || slices.Contains(asked[parameter], value)
	}
	alerts := m.byRule(seen)
	groups := []groupJSON{}
	for _, g := range m.set.groups {
		if !wanted("rule_group[]", g.name) || !wanted("file[]", g.file) {
			continue
		}
		out := groupJSON{Name: g.name, File: g.file, Interval: m.every(g).Seconds(), Limit: g.limit, Rules: []ruleJSON{}}
		for _, r := range g.rules {
			one := r.status(alerts[r.key])
			if len(seen) > 0 {
				if len(alerts[r.key]) == 0 {
					continue
				}
				one.Query, one.LastError, one.Annotations, one.Labels = "", "", nil, map[string]string{}
			}
			if !wanted("rule_name[]", r.name) || !wanted("type", map[bool]string{true: "alert", false: "record"}[r.alerting]) {
				continue
			}
			out.Rules = append(out.Rules, one)
			out.EvaluationTime += one.EvaluationTime
			if one.LastEvaluation.After(out.LastEvaluation) {
				out.LastEvaluation = one.LastEvaluation
			}
		}
		if len(out.Rules) > 0 || len(asked) == 0 && len(seen) == 0 {
			groups = append(groups, out)
		}
	}
	return map[string]any{"groups": groups}
}

// Alerts answers /api/v1/alerts: what is pending or firing, on hosts of some groups; none are all.
func (m *Manager) Alerts(seen []string) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []alertJSON{}
	for _, list := range m.byRule(seen) {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b alertJSON) int { return a.ActiveAt.Compare(b.ActiveAt) })
	return map[string]any{"alerts": all}
}

// byRule lists what is pending or firing by the rule's key. The caller holds m.mu.
func (m *Manager) byRule(seen []string) map[string][]alertJSON {
	out := make(map[string][]alertJSON)
	for _, s := range m.states {
		if s.ResolvedAt.IsZero() && munin.InGroups(s.ID.Host, seen) {
			out[s.Rule] = append(out[s.Rule], alertJSON{
				Labels: s.Labels, Annotations: s.Annotations, State: s.word(), ActiveAt: s.ActiveAt, KeepFiringSince: s.KeepSince,
				Value: strconv.FormatFloat(s.value, 'e', -1, 64),
			})
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b alertJSON) int { return a.ActiveAt.Compare(b.ActiveAt) })
	}
	return out
}

func (r *rule) status(alerts []alertJSON) ruleJSON {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := ruleJSON{
		Name: r.name, Query: r.text, Labels: r.labels, Health: "ok", LastError: r.err, EvaluationTime: r.took.Seconds(), LastEvaluation: r.at,
		Type: "recording",
	}
	switch {
	case r.at.IsZero():
		out.Health = "unknown"
	case r.err != "":
		out.Health = "err"
	}
	if !r.alerting {
		return out
	}
	hold, keep := r.hold.Seconds(), r.keep.Seconds()
	out.Type, out.Annotations, out.Alerts, out.State = "alerting", r.annotations, &alerts, "inactive"
	out.Duration, out.KeepFiringFor = &hold, &keep
	if alerts == nil {
		out.Alerts = &[]alertJSON{}
	}
	for _, a := range alerts {
		if out.State = a.State; a.State == "firing" {
			break
		}
	}
	return out
}

// States are the problems of rules that are open, in the form of all others, for the pages.
func (m *Manager) States() []munin.AlertState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return openStates(m.states)
}

func openStates(states map[string]*state) []munin.AlertState {
	var out []munin.AlertState
	for _, s := range states {
		if s != nil && s.firing() {
			out = append(out, s.alert().State())
		}
	}
	slices.SortFunc(out, func(a, b munin.AlertState) int { return strings.Compare(a.Key(), b.Key()) })
	return out
}

// State is the alert in the form of all other problems.
func (a Alert) State() munin.AlertState {
	return munin.AlertState{
		ID: a.ID, Level: a.Level, Since: a.Changed, Open: a.Level, OpenSince: a.Began, Value: a.Value, Changed: a.Changed, Reason: a.Reason,
	}
}
