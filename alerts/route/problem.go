package route

import (
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"

	"corbie/alerts"
	"corbie/munin"
)

// The labels of an alert. All but labelSeverity name the problem, from its first notice to its recovery.
const (
	labelGroup    = "group"
	labelHost     = "host"
	labelGraph    = "graph"
	labelField    = "field"
	labelSeverity = "severity"
)

// hostSilent is the alertname of a host that does not answer; other alerts have the name of their graph.
const hostSilent = "host_silent"

// problem is the newest that the router knows of one watched thing.
type problem struct {
	notice alerts.Notice
	labels model.LabelSet // without a severity
	group  model.Fingerprint
	// moved are the keys of the targets for which it goes on under another name: under this one there is nothing to tell.
	moved map[string]bool
}

// identity is the label set of a problem without its level.
func identity(id munin.SeriesID) model.LabelSet {
	labels := model.LabelSet{model.AlertNameLabel: hostSilent}
	set := func(name model.LabelName, value string) {
		if value != "" {
			labels[name] = model.LabelValue(value)
		}
	}
	set(model.AlertNameLabel, id.Graph)
	set(labelGroup, id.Host.Group())
	set(labelHost, id.Host.Name())
	set(labelGraph, id.Graph)
	set(labelField, id.Field)
	if name, ok := munin.RuleName(id.Graph); ok {
		labels[model.AlertNameLabel] = model.LabelValue(name)
	}
	return labels
}

// addQuery adds the labels of an alert of a rule, so that silences and receivers find them. Those that name the problem, and its level, stay.
func addQuery(labels model.LabelSet, q *alerts.Query) {
	if q == nil {
		return
	}
	for name, value := range q.Labels {
		key := model.LabelName(name)
		if _, taken := labels[key]; !taken && key != labelSeverity && value != "" {
			labels[key] = model.LabelValue(value)
		}
	}
}

// at is the label set of the problem at a level.
func (p *problem) at(level munin.Level) model.LabelSet {
	labels := p.labels.Clone()
	labels[labelSeverity] = model.LabelValue(level.String())
	return labels
}

// levels are those that a receiver may have been told of.
func levels() [3]munin.Level { return [3]munin.Level{munin.Unknown, munin.Warning, munin.Critical} }

// told finds the level of the problem among what a receiver was told of and not yet that it is over; OK when it
// was told of none.
func (p *problem) told(firing map[uint64]bool) (munin.Level, uint64) {
	for _, level := range levels() {
		if hash := uint64(p.at(level).Fingerprint()); firing[hash] {
			return level, hash
		}
	}
	return munin.OK, 0
}

// alert is the problem at a level in Alertmanager's form, ended or not.
func (p *problem) alert(level munin.Level, ended bool, base string) *alert.Alert {
	s := p.notice.State
	a := &alert.Alert{UpdatedAt: time.Now()}
	a.Labels = p.at(level)
	a.Annotations = p.annotations()
	a.StartsAt = s.OpenSince
	if a.StartsAt.IsZero() {
		a.StartsAt = s.Changed
	}
	if ended {
		a.EndsAt = s.Changed
		if a.EndsAt.Before(a.StartsAt) || a.EndsAt.IsZero() {
			a.EndsAt = a.StartsAt
		}
	}
	a.GeneratorURL = link(base, s.ID)
	return a
}

func (p *problem) annotations() model.LabelSet {
	n := p.notice
	notes := make(model.LabelSet)
	set := func(name model.LabelName, value string) {
		if value != "" {
			notes[name] = model.LabelValue(value)
		}
	}
	if n.Query != nil {
		for name, value := range n.Query.Annotations {
			set(model.LabelName(name), value)
		}
	}
	set("summary", headline(n))
	set("reason", n.State.Reason)
	set("title", n.Graph.Title)
	set("label", n.Graph.Label)
	set("unit", n.Graph.Unit)
	set("category", n.Graph.Category)
	set("warning", n.Graph.Warning.String())
	set("critical", n.Graph.Critical.String())
	set("info", n.Graph.FieldInfo)
	set("extinfo", n.Graph.ExtInfo)
	if n.State.ID.Graph != "" && !math.IsNaN(n.State.Value) {
		set("value", munin.FormatValue(n.State.Value, 0))
	}
	return notes
}

// link is the address of the page that shows the problem.
func link(base string, id munin.SeriesID) string {
	if base == "" {
		return ""
	}
	id, _ = munin.RuleOn(id)
	address := strings.TrimSuffix(base, "/") + "/h/" + url.PathEscape(string(id.Host))
	if _, rule := munin.RuleName(id.Graph); id.Graph != "" && !rule {
		address += "/" + url.PathEscape(id.Graph)
	}
	return address
}

// headline is what is the matter, in one line without level and host: "Disk usage :: / is 97.2 (over 95)".
func headline(n alerts.Notice) string {
	s := n.State
	if s.ID.Graph == "" {
		if s.Open == munin.OK {
			return strings.TrimPrefix(s.Reason, "it ")
		}
		return "does not answer"
	}
	if n.Query != nil {
		return queryHeadline(n)
	}
	subject := n.Graph.Title + " :: " + n.Graph.Label
	switch {
	case s.Open == munin.Unknown:
		return subject + " is unknown"
	case math.IsNaN(s.Value) && s.Open == munin.OK:
		return subject + " is over: " + s.Reason
	case math.IsNaN(s.Value):
		return subject + ": " + s.Reason
	case s.Open == munin.OK:
		return subject + " is " + format(n, s.Value)
	}
	if text := breach(n); text != "" {
		return subject + " is " + format(n, s.Value) + text
	}
	return subject + ": " + s.Reason
}

// queryHeadline is the headline of an alert of a rule: its summary, or else its name and labels.
func queryHeadline(n alerts.Notice) string {
	text := n.Query.Annotations["summary"]
	if text == "" {
		text = n.Query.Name
		if n.State.ID.Field != "" {
			text += " {" + n.State.ID.Field + "}"
		}
	}
	if n.State.Open == munin.OK {
		return text + " is over"
	}
	return text
}

// breach says which bound the value breaches: " (over 95)". It is empty when value and bound read the same in
// short: the reason has all their digits.
func breach(n alerts.Notice) string {
	b, v := n.State.Bounds, n.State.Value
	word, bound := "", 0.0
	switch {
	case b.HasHigh && v > b.High:
		word, bound = "over ", b.High
	case b.HasLow && v < b.Low:
		word, bound = "under ", b.Low
	}
	if text := format(n, bound); word != "" && text != format(n, v) {
		return " (" + word + text + ")"
	}
	return ""
}

func format(n alerts.Notice, v float64) string {
	base := n.Graph.Base
	if n.Graph.NoScale {
		base = 0
	}
	return munin.FormatValue(v, base)
}
