package rules

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"corbie/storage/series"
)

const (
	maxFile  = 4 << 20
	maxRules = 10_000 // in all files together
	// leastEvery is how often a group may be evaluated at most.
	leastEvery = time.Second
	// labelRollup is the label by which PromQL asks for hours and days; no series in the store has it.
	labelRollup = "rollup"
)

// Set is all rules of a configuration, valid and ready for Manager.Reload.
type Set struct{ groups []*group }

// Count is how many rules there are.
func (s *Set) Count() int {
	n := 0
	for _, g := range s.groups {
		n += len(g.rules)
	}
	return n
}

// group is a list of rules that are evaluated one after the other.
type group struct {
	name, file string
	every      time.Duration // 0: the default
	offset     time.Duration
	limit      int
	rules      []*rule
}

// rule records, or alerts.
type rule struct {
	key         string // the same as long as it is the same rule to people
	name, group string
	text        string // the query
	alerting    bool
	hold        time.Duration // "for"
	keep        time.Duration // "keep_firing_for"
	labels      map[string]string
	annotations map[string]string
	seen        map[string]labels.Labels
	health
}

// Load reads files of rules in Prometheus' format and lists what is wrong with them, as "FILE:LINE: text". The set counts only when nothing is.
func Load(files []string) (*Set, []error) {
	set, wrong := &Set{}, []error(nil)
	for _, path := range files {
		text, err := readFile(path)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		groups, problems := Parse(path, text)
		wrong = append(wrong, problems...)
		if len(problems) == 0 {
			set.groups = append(set.groups, groups.groups...)
		}
	}
	if n := set.Count(); n > maxRules {
		wrong = append(wrong, fmt.Errorf("%d rules in all files: at most %d are evaluated", n, maxRules))
	}
	set.name()
	return set, wrong
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return text, nil
}

// name gives each rule its key. Its group, name and labels make it: a change of the query or of "for" is not another rule.
func (s *Set) name() {
	known := make(map[string]int)
	for _, g := range s.groups {
		for _, r := range g.rules {
			key := g.name + "/" + r.name + labels.FromMap(r.labels).String()
			if known[key]++; known[key] > 1 {
				key += "#" + strconv.Itoa(known[key])
			}
			r.key = key
		}
	}
}

// Parse reads one file.
func Parse(name string, text []byte) (*Set, []error) {
	if len(text) > maxFile {
		return nil, []error{fmt.Errorf("%s: it is longer than %d MB: divide it", name, maxFile>>20)}
	}
	parsed, problems := rulefmt.Parse(text, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(problems) == 0 && len(parsed.Groups) == 0 {
		return nil, []error{fmt.Errorf("%s: there are no groups in it: want \"groups:\" with name and rules, as in docs/master.md", name)}
	}
	var nodes places
	if err := yaml.Unmarshal(text, &nodes); err != nil && len(problems) == 0 {
		problems = append(problems, err)
	}
	var heads struct {
		Groups []head `yaml:"groups"`
	}
	if err := yaml.Unmarshal(text, &heads); err == nil {
		nodes.Heads = heads.Groups
	}
	var wrong []error
	for _, err := range problems {
		wrong = append(wrong, nodes.placed(name, err)...)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	set := &Set{}
	for i := range parsed.Groups {
		g := newGroup(name, &parsed.Groups[i])
		for j, r := range g.rules {
			if advice := g.refuse(r); advice != "" {
				wrong = append(wrong, fmt.Errorf("%s:%d: group %q, rule %q: %s", name, nodes.line(i, j), g.name, r.name, advice))
			}
		}
		set.groups = append(set.groups, g)
	}
	set.name()
	return set, wrong
}

func newGroup(file string, from *rulefmt.RuleGroup) *group {
	g := &group{name: from.Name, file: file, every: time.Duration(from.Interval), limit: from.Limit}
	if from.QueryOffset != nil {
		g.offset = time.Duration(*from.QueryOffset)
	}
	for i := range from.Rules {
		one := &from.Rules[i]
		all := maps.Clone(from.Labels)
		if all == nil {
			all = make(map[string]string)
		}
		maps.Copy(all, one.Labels)
		r := &rule{
			name: one.Alert + one.Record, group: g.name, text: one.Expr, alerting: one.Alert != "", hold: time.Duration(one.For),
			keep: time.Duration(one.KeepFiringFor), labels: all, annotations: one.Annotations,
		}
		g.rules = append(g.rules, r)
	}
	return g
}

// refuse says why a rule that Prometheus would take is not taken here; empty when it is.
func (g *group) refuse(r *rule) string {
	switch {
	case g.every > 0 && g.every < leastEvery:
		return fmt.Sprintf("an interval of less than %s is too short", leastEvery)
	case r.alerting:
		return ""
	case strings.HasPrefix(r.name, series.NamePrefix):
		return fmt.Sprintf("names with %s are for what is polled: record it under another one, such as %q", series.NamePrefix, "job:"+strings.TrimPrefix(r.name, series.NamePrefix)+":sum")
	case r.labels[labelRollup] != "":
		return "the label rollup is for hours and days: choose another name"
	}
	return ""
}

// places is where the rules of a file are.
type places struct {
	Groups []rulefmt.RuleGroupNode `yaml:"groups"`
	Heads  []head                  `yaml:"-"`
}

// head is where a group begins.
type head struct {
	Name yaml.Node `yaml:"name"`
}

func (p *places) line(group, rule int) int {
	if group >= len(p.Groups) || rule >= len(p.Groups[group].Rules) {
		return 1
	}
	return p.Groups[group].Rules[rule].Expr.Line
}

// lineOf finds a group's rule, counted from one.
func (p *places) lineOf(group string, rule int) int {
	at := slices.IndexFunc(p.Groups, func(g rulefmt.RuleGroupNode) bool { return g.Name == group })
	return p.line(max(at, 0), rule-1)
}

// last is the line of the last group of a name.
func (p *places) last(group string) int {
	line := 1
	for i := range p.Heads {
		if g := p.Heads[i]; g.Name.Value == group {
			line = g.Name.Line
		}
	}
	return line
}

// placed words a problem that Prometheus' parser found, with its line.
func (p *places) placed(name string, err error) []error {
	var out []error
	for _, text := range strings.Split(strings.TrimPrefix(err.Error(), "yaml: unmarshal errors:\n"), "\n") {
		text = strings.ReplaceAll(strings.TrimSpace(text), " in type rulefmt.RuleGroups", ": a file has the key groups alone")
		text = strings.ReplaceAll(text, " not found in type rulefmt.RuleGroup", " is no key of a group: want name, interval, query_offset, limit, labels, rules")
		text = strings.ReplaceAll(text, " not found in type rulefmt.Rule", " is no key of a rule: want record or alert, expr, for, keep_firing_for, labels, annotations")
		if text == "" {
			continue
		}
		line := 1
		if found := regexp.MustCompile(`^(?:yaml: )?(?:line )?(\d+): (?:\d+: )?|^(\d+):\d+: (?:\d+:\d+: )?`).FindStringSubmatch(text); found != nil {
			line, _ = strconv.Atoi(found[1] + found[2]) // it is digits
			text = text[len(found[0]):]
		} else if found := regexp.MustCompile(`^group "(.*)", rule (\d+), `).FindStringSubmatch(text); found != nil {
			n, _ := strconv.Atoi(found[2]) // as above
			line = p.lineOf(found[1], n)
		}
		if found := regexp.MustCompile(`^groupname: "(.*)" is repeated`).FindStringSubmatch(text); found != nil {
			line = p.last(found[1])
		}
		out = append(out, fmt.Errorf("%s:%d: %s", name, max(line, 1), text))
	}
	return out
}
