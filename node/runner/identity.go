package runner

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Identity is the user and the groups that a program runs as.
type Identity struct {
	Name   string // of the user
	UID    uint32
	GID    uint32
	Groups []uint32 // the supplementary groups, all of them; GID may be among them
}

func (id *Identity) credential() *syscall.Credential {
	return &syscall.Credential{Uid: id.UID, Gid: id.GID, Groups: id.Groups}
}

// Group is a group by name or number. One that is optional may be missing on this machine.
type Group struct {
	Name     string
	Optional bool
}

// Lookup finds a user and groups by name or number. The first group that exists is the main one, and the
// groups given are all that the program gets: neither those of the user nor any other are added. With no group
// left, the main group of the user is taken.
func Lookup(ctx context.Context, userName string, groups []Group) (*Identity, error) {
	uid, gid, err := lookupUser(ctx, userName)
	if err != nil {
		return nil, err
	}
	id := &Identity{Name: userName, UID: uid, GID: gid}
	for _, group := range groups {
		n, err := lookupGroup(ctx, group.Name)
		if err != nil {
			if group.Optional {
				continue
			}
			return nil, err
		}
		if len(id.Groups) == 0 {
			id.GID = n
		}
		id.Groups = append(id.Groups, n)
	}
	if len(id.Groups) == 0 {
		id.Groups = []uint32{id.GID}
	}
	return id, nil
}

func lookupUser(ctx context.Context, name string) (uid, gid uint32, err error) {
	found, err := user.Lookup(name)
	if _, numeric := strconv.ParseUint(name, 10, 32); err != nil && numeric == nil {
		found, err = user.LookupId(name)
	}
	if err == nil {
		if uid, err = parseID(found.Uid); err == nil {
			gid, err = parseID(found.Gid)
		}
		return uid, gid, err
	}
	fields, getErr := getent(ctx, "passwd", name)
	if getErr != nil || len(fields) < 4 {
		return 0, 0, fmt.Errorf("user %s does not exist on this machine", name)
	}
	if uid, err = parseID(fields[2]); err != nil {
		return 0, 0, err
	}
	gid, err = parseID(fields[3])
	return uid, gid, err
}

func lookupGroup(ctx context.Context, name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	if found, err := user.LookupGroup(name); err == nil {
		return parseID(found.Gid)
	}
	fields, err := getent(ctx, "group", name)
	if err != nil || len(fields) < 3 {
		return 0, fmt.Errorf("group %s does not exist on this machine", name)
	}
	return parseID(fields[2])
}

// getent asks the system's name service, which knows users that are in no file: a static program cannot ask
// it itself.
func getent(ctx context.Context, database, name string) ([]string, error) {
	if strings.HasPrefix(name, "-") {
		return nil, errors.New("a name does not begin with a dash")
	}
	result := Run(ctx, Spec{
		Path: "getent", Args: []string{database, name}, Env: []string{"PATH=/usr/bin:/bin"},
		Timeout: 5 * time.Second, MaxOutput: 1 << 20,
	})
	if result.Err != nil {
		return nil, result.Err
	}
	line, _, _ := strings.Cut(string(result.Stdout), "\n")
	return strings.Split(line, ":"), nil
}

func parseID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("id %q: %w", text, err)
	}
	return uint32(n), nil
}
