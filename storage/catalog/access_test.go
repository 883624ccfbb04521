package catalog_test

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
)

func TestSessionsTokensAndTheAuditLogAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := catalog.Open(path, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 14, 5, 0, 0, time.UTC)
	ctx := t.Context()
	evil := `'; DROP TABLE sessions; --`
	old := munin.Session{ID: "old", Person: "bob", Method: "htpasswd", Began: now.Add(-time.Hour), Seen: now.Add(-time.Hour), Ends: now.Add(-time.Minute)}
	session := munin.Session{
		ID: evil, Person: evil, Method: "oidc", Groups: []string{"a", evil}, Proof: "p", Began: now, Seen: now, Ends: now.Add(time.Hour), Address: "::1", Agent: evil,
	}
	token := munin.Token{Name: evil, Hash: "h", Role: munin.Operator, Groups: []string{"web;eu"}, Created: now, By: "ann", Ends: now.Add(time.Hour)}
	for _, err := range []error{
		c.SaveSession(ctx, old), c.SaveSession(ctx, session), c.AddToken(ctx, token), c.TokenUsed(ctx, "h", now),
		c.LogChange(ctx, munin.Change{At: now, Who: evil, Method: "cli", Action: "token add", Detail: strings.Repeat("x\x00", 5000)}),
		c.LogChange(ctx, munin.Change{At: now.Add(time.Second), Who: "bob", Action: "sign in", Refused: true}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.AddToken(ctx, token); !errors.Is(err, munin.ErrExists) {
		t.Errorf("a second token of a name: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = catalog.Open(path, catalog.Options{}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.Session(ctx, evil); err != nil || !reflect.DeepEqual(got, session) {
		t.Errorf("the session is %+v, %v", got, err)
	}
	if all, err := c.Sessions(ctx); err != nil || len(all) != 1 {
		t.Errorf("sessions are %+v, %v: one has ended", all, err)
	}
	token.Used = now
	if got, err := c.Token(ctx, "h"); err != nil || !reflect.DeepEqual(got, token) {
		t.Errorf("the token is %+v, %v", got, err)
	}
	for _, id := range []string{"", "' OR 1=1 --", "%"} {
		_, errSession := c.Session(ctx, id)
		if _, errToken := c.Token(ctx, id); !errors.Is(errSession, munin.ErrNotFound) || !errors.Is(errToken, munin.ErrNotFound) {
			t.Errorf("%q finds something: %v, %v", id, errSession, errToken)
		}
	}
	if err := errors.Join(c.RevokeToken(ctx, evil, now), c.EndSession(ctx, evil)); err != nil {
		t.Error(err)
	}
	if err := c.RevokeToken(ctx, evil, now); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	if got, err := c.Token(ctx, "h"); err != nil || got.Valid(now) {
		t.Errorf("the token after that: %+v, %v", got, err)
	}
	changes, err := c.Changes(ctx, time.Time{}, 10)
	if err != nil || len(changes) != 2 || changes[0].Who != "bob" || !changes[0].Refused || changes[1].Who != evil || len(changes[1].Detail) > 1100 {
		t.Errorf("the audit log has %+v, %v", changes, err)
	}
	if older, err := c.Changes(ctx, now.Add(time.Second), 10); err != nil || len(older) != 1 {
		t.Errorf("before the newest: %+v, %v", older, err)
	}
}
