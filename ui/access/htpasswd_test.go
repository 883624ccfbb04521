package access_test

import (
	"errors"
	"strings"
	"testing"

	"corbie/ui/access"
)

const (
	good  = "$2y$10$C6UzMDM.H6dfI/f/IKcEeO7ZlFmpBGZ0uJzDGJd4NVQyEXPRxHJ0W"
	heavy = "$2y$19$C6UzMDM.H6dfI/f/IKcEeO7ZlFmpBGZ0uJzDGJd4NVQyEXPRxHJ0W"
)

func TestOnlyBcryptIsTakenAndTheOthersAreToldWhatToDo(t *testing.T) {
	users, wrong := access.ParseUsers([]byte(strings.Join([]string{
		"# the night shift", "", "alice:" + good, "bob:$apr1$mEgQ4DyB$abcdefghijklmnopqrstu/", "carol:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
		"dave:$6$rounds=5000$abc$def", "eve:abJnggxhB/yWI", "frank:$2y$10$short", "grace:" + heavy, "alice:" + good, "no colon here", ":" + good,
		"heidi:$argon2id$v=19$m=65536", "ivan:" + good + ":a comment", "judy:$y$j9T$abc$def", "ken:$1$abc$def", "leo:$5$abc$def", "max:{SSHA}abc",
	}, "\n")))
	if len(users) != 2 || users["alice"] != good || users["ivan"] != good {
		t.Errorf("users are %v", users)
	}
	text := errors.Join(wrong...).Error()
	for _, want := range []string{
		`line 4: the password of "bob" is kept as MD5 (apr1)`, "htpasswd -B FILE 'bob'", `line 5: the password of "carol" is kept as SHA-1`, `line 6: the password of "dave" is kept as SHA-512`,
		`line 7: the password of "eve" is in clear or kept as crypt`, `line 8: the hash of "frank" is damaged`, `line 9: the cost of the hash of "grace" is 19`,
		`line 10: "alice" is there twice, first in line 3`, "line 11: want", "line 12: a name of 1 to", `"heidi" is kept as Argon2`, "yescrypt", "MD5 (crypt)", "SHA-256", "kept as SHA-1;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nobody says %q:\n%s", want, text)
		}
	}
}

func FuzzParseUsers(f *testing.F) {
	for _, seed := range []string{"alice:" + good + "\n", "a:$apr1$x$y", ":\n::\n", "#\n\r\n", "x:" + heavy} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		users, wrong := access.ParseUsers(text)
		for name, hash := range users {
			if name == "" || len(hash) != 60 || !strings.HasPrefix(hash, "$2") {
				t.Errorf("%q has the hash %q", name, hash)
			}
		}
		if len(users)+len(wrong) > strings.Count(string(text), "\n")+2 {
			t.Errorf("%d users and %d errors in %q", len(users), len(wrong), text)
		}
	})
}
