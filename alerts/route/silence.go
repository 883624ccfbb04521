package route

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/client_golang/prometheus"
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
	if s.CreatedBy == "" || s.Comment == "" || s.EndsAt.IsZero() {
		return "", errors.New("silence: say who, why and until when")
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
	found, _, err := r.silences.Query(ctx, silence.QState(silence.SilenceStateActive, silence.SilenceStatePending))
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
