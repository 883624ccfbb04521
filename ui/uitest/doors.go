package uitest

import (
	"context"
	"slices"
	"sync"
	"time"

	"corbie/munin"
)

// Doors keep sessions, tokens and the audit log in memory.
type Doors struct {
	mu       sync.Mutex
	sessions map[string]munin.Session
	tokens   map[string]munin.Token
	changes  []munin.Change
}

// NewDoors lets in whoever has one of some tokens.
func NewDoors(tokens ...munin.Token) *Doors {
	d := &Doors{sessions: make(map[string]munin.Session), tokens: make(map[string]munin.Token)}
	for _, t := range tokens {
		d.tokens[t.Hash] = t
	}
	return d
}

// SaveSession stores a session.
func (d *Doors) SaveSession(_ context.Context, s munin.Session) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[s.ID] = s
	return nil
}

// Session finds one.
func (d *Doors) Session(_ context.Context, id string) (munin.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.sessions[id]; ok {
		return s, nil
	}
	return munin.Session{}, munin.ErrNotFound
}

// Sessions lists all, the newest first.
func (d *Doors) Sessions(context.Context) ([]munin.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []munin.Session
	for _, s := range d.sessions {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b munin.Session) int { return b.Began.Compare(a.Began) })
	return all, nil
}

// EndSession forgets one.
func (d *Doors) EndSession(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, id)
	return nil
}

// Token finds one by its hash.
func (d *Doors) Token(_ context.Context, hash string) (munin.Token, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t, ok := d.tokens[hash]; ok {
		return t, nil
	}
	return munin.Token{}, munin.ErrNotFound
}

// TokenUsed notes when.
func (d *Doors) TokenUsed(_ context.Context, hash string, at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tokens[hash]
	t.Used = at
	d.tokens[hash] = t
	return nil
}

// LogChange writes an entry.
func (d *Doors) LogChange(_ context.Context, c munin.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.Clean()
	d.changes = append(d.changes, c)
	return nil
}

// Changes lists entries, the newest first.
func (d *Doors) Changes(_ context.Context, before time.Time, most int) ([]munin.Change, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []munin.Change
	for _, c := range slices.Backward(d.changes) {
		if (before.IsZero() || c.At.Before(before)) && len(all) < most {
			all = append(all, c)
		}
	}
	return all, nil
}
