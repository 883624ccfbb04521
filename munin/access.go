package munin

import (
	"fmt"
	"strings"
	"time"
)

// Role is what somebody may do on the pages. Each may do what those before it may.
type Role int

// The roles.
const (
	NoRole   Role = iota // nothing at all
	Viewer               // read
	Operator             // acknowledge, annotate, silence
	Admin                // see who did what, end sessions
)

// String is the word of the configuration.
func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Operator:
		return "operator"
	case Admin:
		return "admin"
	case NoRole:
	}
	return "none"
}

// ParseRole reads a word of the configuration.
func ParseRole(text string) (Role, error) {
	for r := NoRole; r <= Admin; r++ {
		if text == r.String() {
			return r, nil
		}
	}
	return NoRole, fmt.Errorf("role %q: want viewer, operator, admin or none", text)
}

// MarshalText is the word.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the word.
func (r *Role) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRole(string(text))
	return err
}

// Session is a browser in which somebody has signed in.
type Session struct {
	// ID is the SHA-256 of what the browser's cookie holds, in hexadecimal: who reads it cannot use it.
	ID     string
	Person string
	Method string   // htpasswd or oidc
	Groups []string // that the identity provider named
	// Proof changes when the password does: a session with another one is over.
	Proof   string
	Began   time.Time
	Seen    time.Time // last request, to the minute
	Ends    time.Time
	Address string // of the sign-in
	Agent   string // what the browser calls itself
}

// Token lets a program in.
type Token struct {
	Name    string
	Hash    string // SHA-256 of the token in hexadecimal
	Role    Role
	Groups  []string // of hosts that it sees; empty: all
	Created time.Time
	By      string    // who made it
	Ends    time.Time // zero: never
	Used    time.Time // last time, to the minute; zero: never
	Revoked time.Time // zero: it is not
}

// Valid says whether the token lets anybody in at a time.
func (t *Token) Valid(now time.Time) bool {
	return t.Revoked.IsZero() && (t.Ends.IsZero() || now.Before(t.Ends))
}

// Change is an entry of the audit log: something that a person or a program did, or tried to.
type Change struct {
	At      time.Time
	Who     string // empty: nobody signed in
	Method  string // how they signed in: htpasswd, proxy, oidc, token, anonymous; cli for commands on the machine itself
	Address string // where the request came from
	Action  string // what was done, as "POST /problems/ack" or "token add"
	Detail  string // with which values
	Refused bool   // it was not allowed, or failed
}

// Limits of an entry of the audit log, in bytes.
const (
	maxChangeWord   = 200
	maxChangeDetail = 1000
)

// Clean shortens an entry to what is kept of it, and removes control characters.
func (c *Change) Clean() {
	c.Who, c.Address = clipBytes(CleanText(c.Who), maxChangeWord), clipBytes(CleanText(c.Address), maxChangeWord)
	c.Action, c.Detail = clipBytes(CleanText(c.Action), maxChangeWord), clipBytes(CleanText(c.Detail), maxChangeDetail)
}

func clipBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// InGroups says whether a host is in one of some groups, or below; no groups are all.
func InGroups(host HostID, groups []string) bool {
	if len(groups) == 0 {
		return true
	}
	for _, g := range groups {
		if rest, ok := strings.CutPrefix(string(host), g); ok && strings.HasPrefix(rest, ";") {
			return true
		}
	}
	return false
}
