package rules

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"corbie/munin"
	"corbie/storage/series"
)

const (
	labelAlertName  = "alertname"
	labelAlertState = "alertstate"
	labelSeverity   = "severity"
	labelHost       = "host"
	labelGroup      = "group"
	maxText         = 2000 // characters of a label or an annotation
)

// state is what an alert has been through. It is pending, firing (FiredAt), or over (ResolvedAt).
type state struct {
	Rule        string            `json:"rule"`
	ID          munin.SeriesID    `json:"id"`
	Labels      map[string]string `json:"labels"` // alertname is among them
	Annotations map[string]string `json:"annotations,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	ActiveAt    time.Time         `json:"active_at"`
	FiredAt     time.Time         `json:"fired_at,omitzero"`
	KeepSince   time.Time         `json:"keep_since,omitzero"` // it is not true any more, and kept firing
	ResolvedAt  time.Time         `json:"resolved_at,omitzero"`

	value    float64
	restored bool // from a file, and not seen true since
}

func (s *state) firing() bool { return !s.FiredAt.IsZero() && s.ResolvedAt.IsZero() }

func (s *state) alert() Alert {
	a := Alert{
		ID: s.ID, Name: s.Labels[labelAlertName], Labels: maps.Clone(s.Labels), Annotations: maps.Clone(s.Annotations), Value: s.value,
		Began: s.FiredAt, Changed: s.FiredAt, Reason: s.Reason,
	}
	if s.firing() {
		a.Level = LevelOf(s.Labels)
	} else {
		a.Changed = s.ResolvedAt
	}
	return a
}

// LevelOf is the level that stands for the label severity of an alert: warning for what only informs, else critical.
func LevelOf(labels map[string]string) munin.Level {
	switch strings.ToLower(labels[labelSeverity]) {
	case "warning", "warn", "info", "informational", "notice", "none", "low", "minor":
		return munin.Warning
	}
	return munin.Critical
}

// alerts moves the alerts of a rule on, and gives the series ALERTS of them.
func (m *Manager) alerts(ctx context.Context, r *rule, found promql.Vector, at time.Time) ([]series.Computed, error) {
	current := make(map[string]*state, len(found))
	for _, sample := range found {
		s := m.describe(ctx, r, sample, at)
		key := r.key + "\x00" + labels.FromMap(s.Labels).String()
		if current[key] != nil {
			return nil, fmt.Errorf("two of its alerts have the same labels %s: keep one more label apart", labels.FromMap(s.Labels))
		}
		current[key] = s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.set.has(r) {
		return nil, nil // it was taken out while it was evaluated
	}
	for key, s := range current {
		m.active(key, s, r, at)
	}
	var out []series.Computed
	for key, s := range m.states {
		if s.Rule != r.key {
			continue
		}
		if current[key] == nil {
			m.absent(key, s, r, at)
		}
		if m.states[key] != nil && s.ResolvedAt.IsZero() {
			out = append(out, s.series())
		}
	}
	return out, nil
}

// series is the alert in Prometheus' own form.
func (s *state) series() series.Computed {
	b := labels.NewBuilder(labels.FromMap(s.Labels)).Set(model.MetricNameLabel, "ALERTS").Set(labelAlertState, s.word()).Del(labelRollup)
	return series.Computed{Labels: b.Labels(), Point: munin.Point{V: 1}}
}

func (s *state) word() string {
	if s.FiredAt.IsZero() {
		return "pending"
	}
	return "firing"
}

// active moves on an alert whose query is true. The caller holds m.mu.
func (m *Manager) active(key string, now *state, r *rule, at time.Time) {
	s := m.states[key]
	if s == nil || !s.ResolvedAt.IsZero() {
		now.ID = m.identify(now, r)
		if s != nil {
			now.ID = s.ID
		}
		s, m.states[key], m.dirty = now, now, true
	}
	s.restored, s.value, s.Reason, s.Annotations = false, now.value, now.Reason, now.Annotations
	if !s.KeepSince.IsZero() {
		s.KeepSince, m.dirty = time.Time{}, true
	}
	if s.FiredAt.IsZero() && at.Sub(s.ActiveAt) >= r.hold {
		s.FiredAt, m.dirty = at, true
		m.opts.Logger.Info("an alert of a rule begins", "rule", r.name, "host", s.ID.Host, "labels", labels.FromMap(s.Labels).String())
		m.untold = append(m.untold, s.alert())
	}
}

// absent moves on an alert whose query is not true. The caller holds m.mu.
func (m *Manager) absent(key string, s *state, r *rule, at time.Time) {
	if !s.ResolvedAt.IsZero() || s.restored && time.Since(m.began) < m.opts.Settle {
		return
	}
	m.dirty = true
	if s.FiredAt.IsZero() {
		delete(m.states, key)
		return
	}
	if r.keep > 0 {
		if s.KeepSince.IsZero() {
			s.KeepSince = at
		}
		if at.Sub(s.KeepSince) < r.keep {
			return
		}
	}
	s.ResolvedAt, s.Reason = at, "its query is not true any more"
	m.opts.Logger.Info("an alert of a rule is over", "rule", r.name, "host", s.ID.Host, "labels", labels.FromMap(s.Labels).String())
	m.untold = append(m.untold, s.alert())
}

// identify names an alert for those who tell people. Two rules may have an alert of the same name and labels. The caller holds m.mu.
func (m *Manager) identify(s *state, r *rule) munin.SeriesID {
	rest := labels.NewBuilder(labels.FromMap(s.Labels)).Del(labelAlertName, labelHost, labelGroup).Labels().String()
	id := munin.SeriesID{Host: m.opts.Host(s.Labels), Graph: munin.RuleGraph(r.name), Field: strings.Trim(rest, "{}")}
	for _, other := range m.states {
		if other.ID == id && (other.Rule != r.key || !maps.Equal(other.Labels, s.Labels)) {
			id.Field = strings.TrimSpace(id.Field + " " + r.key + labels.FromMap(s.Labels).String())
			break
		}
	}
	return id
}

// describe fills in labels and annotations.
func (m *Manager) describe(ctx context.Context, r *rule, sample promql.Sample, at time.Time) *state {
	given := labels.NewBuilder(sample.Metric).Del(model.MetricNameLabel).Labels().Map()
	s := &state{Rule: r.key, Labels: maps.Clone(given), Annotations: make(map[string]string, len(r.annotations)), ActiveAt: at, value: sample.F}
	if s.Labels == nil {
		s.Labels = make(map[string]string)
	}
	data := template.AlertTemplateData(given, map[string]string{}, m.opts.URL, sample)
	expand := func(text string) string {
		const defs = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
		out, err := template.NewTemplateExpander(ctx, defs+text, "__alert_"+r.name, data, model.Time(at.UnixMilli()), m.opts.Query, m.external, nil).Expand()
		if err != nil {
			out = "<the template cannot be expanded: " + err.Error() + ">"
		}
		return clip(out)
	}
	for name, text := range r.labels {
		s.Labels[name] = expand(text)
	}
	maps.DeleteFunc(s.Labels, func(_, value string) bool { return value == "" })
	for name, text := range r.annotations {
		s.Annotations[name] = expand(text)
	}
	s.Labels[labelAlertName] = r.name
	s.Reason = cmp.Or(s.Annotations["description"], s.Annotations["message"], clip(r.text)+" gives "+munin.FormatValue(sample.F, 0))
	return s
}

func clip(text string) string {
	text = munin.CleanText(text)
	if runes := []rune(text); len(runes) > maxText {
		return string(runes[:maxText]) + "…"
	}
	return text
}
