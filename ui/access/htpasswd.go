package access

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"corbie/munin"
)

// Limits of what is read.
const (
	maxFileBytes = 4 << 20
	maxName      = 200
	maxPassword  = 72 // bytes: bcrypt takes no more
	maxTeams     = 1000
	maxCost      = 15 // of bcrypt: about a second
)

// ParseUsers reads a password file: one "name:hash" a line, as htpasswd writes it. Lines that cannot be used are errors, each with its
// number and what to do; the others count all the same.
func ParseUsers(text []byte) (map[string]string, []error) {
	users := make(map[string]string)
	lines := make(map[string]int)
	var wrong []error
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, maxFileBytes)
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		hash, _, _ = strings.Cut(hash, ":")
		switch err := checkUser(name, hash); {
		case !ok:
			wrong = append(wrong, fmt.Errorf("line %d: want \"name:hash\", as htpasswd -B writes it", n))
		case err != nil:
			wrong = append(wrong, fmt.Errorf("line %d: %w", n, err))
		case lines[name] > 0:
			wrong = append(wrong, fmt.Errorf("line %d: %q is there twice, first in line %d", n, name, lines[name]))
		default:
			users[name], lines[name] = hash, n
		}
	}
	if err := scanner.Err(); err != nil {
		wrong = append(wrong, err)
	}
	return users, wrong
}

func checkUser(name, hash string) error {
	if name == "" || len(name) > maxName || name != munin.CleanText(name) {
		return fmt.Errorf("a name of 1 to %d characters is needed before the colon", maxName)
	}
	again := fmt.Sprintf("make it again: htpasswd -B FILE '%s'", name)
	for _, other := range []struct{ begin, name string }{
		{"$apr1$", "MD5 (apr1), which a graphics card tries out by the billion"},
		{"$1$", "MD5 (crypt), which a graphics card tries out by the billion"},
		{"{SHA}", "SHA-1 without a salt"},
		{"{SSHA}", "SHA-1"},
		{"$5$", "SHA-256 (crypt), which Corbie does not read"},
		{"$6$", "SHA-512 (crypt), which Corbie does not read"},
		{"$y$", "yescrypt, which Corbie does not read"},
		{"$7$", "scrypt, which Corbie does not read"},
		{"$argon2", "Argon2, which Corbie does not read"},
	} {
		if strings.HasPrefix(hash, other.begin) {
			return fmt.Errorf("the password of %q is kept as %s; %s", name, other.name, again)
		}
	}
	if !strings.HasPrefix(hash, "$2") {
		return fmt.Errorf("the password of %q is in clear or kept as crypt, of which only eight characters count; %s", name, again)
	}
	cost, err := bcrypt.Cost([]byte(hash))
	switch {
	case err != nil || len(hash) != 60:
		return fmt.Errorf("the hash of %q is damaged; %s", name, again)
	case cost > maxCost:
		return fmt.Errorf("the cost of the hash of %q is %d, which takes many seconds to check; at most %d; %s", name, cost, maxCost, again)
	}
	return nil
}

// ReadUsers reads a password file.
func ReadUsers(path string) (map[string]string, []error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, []error{fmt.Errorf("%w; make it: htpasswd -cB %s NAME", err, path)}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFileBytes)
	}
	if err != nil {
		return nil, []error{err}
	}
	return ParseUsers(text)
}

// userFile is a password file that is read again when it has changed.
type userFile struct {
	log *slog.Logger

	mu      sync.Mutex
	path    string
	size    int64
	changed time.Time
	users   map[string]string
}

// hash is the password hash of a user; false: there is none.
func (u *userFile) hash(path, name string) (string, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		// A file that is being replaced is missing for a moment; nobody gets in meanwhile who was not in it.
		if u.path != path {
			u.users = nil
		}
		u.log.Warn("cannot read the password file; what was read of it last stays in force", "path", path, "err", err)
	} else if u.path != path || u.size != info.Size() || !u.changed.Equal(info.ModTime()) {
		users, wrong := ReadUsers(path)
		if len(wrong) > 0 {
			u.log.Error("lines of the password file were left out", "path", path, "err", errors.Join(wrong...))
		}
		u.path, u.size, u.changed, u.users = path, info.Size(), info.ModTime(), users
	}
	hash, ok := u.users[name]
	return hash, ok
}
