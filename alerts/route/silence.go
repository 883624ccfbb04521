package route

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"

	"corbie/munin"
)

// silenceRetention is how long a silence that has ended is still listed.
const silenceRetention = 30 * 24 * time.Hour

// Silence mutes new notices of the problems that it matches, for a time. A problem that was told before is still
// told to be over.
type Silence struct {
	ID        string // given by Silence
	Matchers  []Matcher
	StartsAt  time.Time // zero: now
	EndsAt    time.Time
	CreatedBy string // who
	Comment   string // why
}

// Matcher compares one label of a problem: alertname, group, host, graph, field or severity.
type Matcher struct {
	Name  string
	Value string
	Regex bool // Value is a regular expression for the whole label
	Not   bool // the label must not match
}

// String is the matcher as people write it: "host=www1", "graph!~df.*".
func (m Matcher) String() string {
	sign := "="
	switch {
	case m.Regex && m.Not:
		sign = "!~"
	case m.Regex:
		sign = "=~"
	case m.Not:
		sign = "!="
	}
	return m.Name + sign + m.Value
}

// ParseMatcher reads what Matcher.String writes.
func ParseMatcher(text string) (Matcher, error) {
	at := strings.IndexAny(text, "=!")
	if at < 1 {
		return Matcher{}, fmt.Errorf("%q: want LABEL=VALUE, LABEL!=VALUE, LABEL=~REGEX or LABEL!~REGEX", clean(text, 80))
	}
	m := Matcher{Name: text[:at]}
	rest := text[at:]
	switch {
	case strings.HasPrefix(rest, "=~"):
		m.Regex, m.Value = true, rest[2:]
	case strings.HasPrefix(rest, "!~"):
		m.Regex, m.Not, m.Value = true, true, rest[2:]
	case strings.HasPrefix(rest, "!="):
		m.Not, m.Value = true, rest[2:]
	case rest[0] == '=':
		m.Value = rest[1:]
	default:
		return Matcher{}, fmt.Errorf("%q: want LABEL=VALUE, LABEL!=VALUE, LABEL=~REGEX or LABEL!~REGEX", clean(text, 80))
	}
	return m, nil
}

// Words is what the silence matches: "graph=df, group=web, host=www1".
func (s *Silence) Words() string {
	words := make([]string, 0, len(s.Matchers))
	for _, m := range s.Matchers {
		if m.Value != "" || m.Not {
			words = append(words, m.String())
		}
	}
	return strings.Join(words, ", ")
}

// Check says what is wrong with a silence; nil where it can begin.
func (s *Silence) Check() error {
	if s.CreatedBy == "" || s.Comment == "" || s.EndsAt.IsZero() {
		return errors.New("silence: say who, why and until when")
	}
	something := false
	for _, m := range s.Matchers {
		if !model.LegacyValidation.IsValidLabelName(m.Name) {
			return fmt.Errorf("%q is no name of a label", clean(m.Name, 80))
		}
		matches := func(text string) bool { return (text == m.Value) != m.Not }
		if m.Regex {
			re, err := regexp.Compile("^(?:" + m.Value + ")$")
			if err != nil {
				return fmt.Errorf("%s: %w", clean(m.String(), 80), err)
			}
			matches = func(text string) bool { return re.MatchString(text) != m.Not }
		}
		something = something || !matches("")
	}
	if !something {
		return errors.New("it would silence everything: say at least one value that a problem must have")
	}
	return nil
}

func openSilences(dir string, registerer prometheus.Registerer, logger *slog.Logger) (*silence.Silences, error) {
	file := filepath.Join(dir, "silences")
	s, err := silence.New(silence.Options{
		SnapshotFile: file, Retention: silenceRetention, Logger: logger,
		Metrics: registerer, EventRecorder: eventrecorder.NopRecorder(),
	})
	var system *fs.PathError
	switch {
	case errors.As(err, &system):
		return nil, fmt.Errorf("read the silences: %w", err)
	case err != nil:
		return nil, fmt.Errorf("read the silences in %s: %w: the file is damaged; put it back from a backup, or move it away and start again: "+
			"no problem is silenced then until somebody does it again", file, err)
	}
	return s, nil
}

// Silence begins a silence and returns its ID. It is on disk then, unless the disk does not take it.
func (r *Router) Silence(ctx context.Context, s Silence) (string, error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	p := &silencepb.Silence{
		Id: s.ID, EndsAt: timestamppb.New(s.EndsAt), CreatedBy: munin.CleanText(s.CreatedBy), Comment: munin.CleanText(s.Comment),
	}
	if !s.StartsAt.IsZero() {
		p.StartsAt = timestamppb.New(s.StartsAt)
	}
	set := &silencepb.MatcherSet{}
	for _, m := range s.Matchers {
		set.Matchers = append(set.Matchers, &silencepb.Matcher{Name: m.Name, Pattern: m.Value, Type: m.kind()})
	}
	p.MatcherSets = []*silencepb.MatcherSet{set}
	if err := r.silences.Set(ctx, p); err != nil {
		return "", fmt.Errorf("silence: %w", err)
	}
	r.unsaved.note(r.saveSilences())
	return p.GetId(), nil
}

// SilenceOnce is Silence, unless the same one is there already: it may be told again after a crash.
func (r *Router) SilenceOnce(ctx context.Context, s Silence) error {
	all, err := r.Silences(ctx)
	if err != nil || slices.ContainsFunc(all, s.same) {
		return err
	}
	_, err = r.Silence(ctx, s)
	return err
}

// StoredSilences lists the silences in a folder that are active or to come, also beside a master that runs.
func StoredSilences(ctx context.Context, dir string) ([]Silence, error) {
	s, err := openSilences(dir, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return listSilences(ctx, s)
}

func (m Matcher) kind() silencepb.Matcher_Type {
	switch {
	case m.Regex && m.Not:
		return silencepb.Matcher_NOT_REGEXP
	case m.Regex:
		return silencepb.Matcher_REGEXP
	case m.Not:
		return silencepb.Matcher_NOT_EQUAL
	}
	return silencepb.Matcher_EQUAL
}

// Silences lists the silences that are active or to come.
func (r *Router) Silences(ctx context.Context) ([]Silence, error) {
	return listSilences(ctx, r.silences)
}

func listSilences(ctx context.Context, from *silence.Silences) ([]Silence, error) {
	found, _, err := from.Query(ctx, silence.QState(silence.SilenceStateActive, silence.SilenceStatePending))
	if err != nil {
		return nil, fmt.Errorf("list silences: %w", err)
	}
	out := make([]Silence, 0, len(found))
	for _, p := range found {
		s := Silence{
			ID: p.GetId(), StartsAt: p.GetStartsAt().AsTime(), EndsAt: p.GetEndsAt().AsTime(),
			CreatedBy: p.GetCreatedBy(), Comment: p.GetComment(),
		}
		for _, set := range p.GetMatcherSets() {
			for _, m := range set.GetMatchers() {
				kind := m.GetType()
				s.Matchers = append(s.Matchers, Matcher{
					Name: m.GetName(), Value: m.GetPattern(),
					Regex: kind == silencepb.Matcher_REGEXP || kind == silencepb.Matcher_NOT_REGEXP,
					Not:   kind == silencepb.Matcher_NOT_EQUAL || kind == silencepb.Matcher_NOT_REGEXP,
				})
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// EndSilence ends a silence at once. Problems that it muted and that are still open are told.
func (r *Router) EndSilence(ctx context.Context, id string) error {
	if err := r.silences.Expire(ctx, id); err != nil {
		if errors.Is(err, silence.ErrNotFound) {
			err = munin.ErrNotFound
		}
		return fmt.Errorf("end silence %q: %w", id, err)
	}
	r.unsaved.note(r.saveSilences())
	return nil
}

// saveSilences writes all silences; there are few, and they change by hand.
func (r *Router) saveSilences() error {
	r.silenceMu.Lock()
	defer r.silenceMu.Unlock()
	var buf bytes.Buffer
	if _, err := r.silences.Snapshot(&buf); err != nil {
		return fmt.Errorf("save silences: %w", err)
	}
	if err := replaceFile(filepath.Join(r.options.Dir, "silences"), buf.Bytes()); err != nil {
		return fmt.Errorf("save silences: %w", err)
	}
	return nil
}

// keepSilences drops silences that ended long ago, and writes those that could not be written.
func (r *Router) keepSilences() error {
	n, err := r.silences.GC()
	if err != nil || n == 0 && !r.unsaved.is() {
		return err
	}
	r.unsaved.note(r.saveSilences())
	return nil
}
