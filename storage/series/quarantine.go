package series

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/oklog/ulid/v2"
)

// quarantineDir is where unreadable blocks go, inside the folder of the TSDB.
const quarantineDir = "quarantine"

// Quarantined is a block that could not be read and was set aside, so that the rest can be used.
type Quarantined struct {
	Path   string // where it is now
	Reason string
}

// Quarantined lists what Open set aside.
func (db *DB) Quarantined() []Quarantined { return db.quarantined }

// setAsideBrokenMeta moves the blocks whose meta.json is missing, empty or unreadable: the TSDB opens without
// them, but never compacts again. A block gets its name only when it is complete, so this is damage, not
// an interrupted write.
func (db *DB) setAsideBrokenMeta() error {
	entries, err := os.ReadDir(db.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err != nil || !e.IsDir() {
			continue
		}
		reason, err := metaFault(filepath.Join(db.dir, e.Name()), e.Name())
		if err != nil {
			return err
		}
		if reason == "" {
			continue
		}
		if err := db.setAside(e.Name(), reason); err != nil {
			return err
		}
	}
	return nil
}

// metaFault says what is wrong with the meta.json of a block, empty when nothing is. The error means that it could not be
// found out.
func metaFault(block, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(block, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "meta.json is missing", nil
	}
	if err != nil {
		return "", err
	}
	var meta struct {
		Version int    `json:"version"`
		ULID    string `json:"ulid"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return "meta.json is damaged: " + err.Error(), nil
	}
	if meta.ULID != name || meta.Version != 1 {
		return fmt.Sprintf("meta.json is of block %q, version %d", meta.ULID, meta.Version), nil
	}
	return "", nil
}

var ulidPattern = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`)

// setAsideNamed moves the blocks that the error of the TSDB names, and says whether there were any. An error that comes from the
// machine (no permission, too many open files, no memory, a failing disk) is not the block's fault.
func (db *DB) setAsideNamed(cause error) bool {
	for _, machine := range []error{
		fs.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ENOSPC, syscall.EROFS,
	} {
		if errors.Is(cause, machine) {
			return false
		}
	}
	moved := false
	for _, name := range ulidPattern.FindAllString(cause.Error(), -1) {
		info, err := os.Stat(filepath.Join(db.dir, name))
		if err != nil || !info.IsDir() {
			continue
		}
		if err := db.setAside(name, cause.Error()); err != nil {
			db.log.Error("damaged block cannot be set aside", "block", name, "err", err)
			return false
		}
		moved = true
	}
	return moved
}

func (db *DB) setAside(name, reason string) error {
	target := filepath.Join(db.dir, quarantineDir, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return fmt.Errorf("set block %s aside: %w", name, err)
	}
	if err := os.Rename(filepath.Join(db.dir, name), target); err != nil {
		return fmt.Errorf("set block %s aside: %w", name, err)
	}
	db.quarantined = append(db.quarantined, Quarantined{Path: target, Reason: reason})
	db.log.Error("damaged block set aside: its samples are missing from graphs, everything else is used",
		"block", name, "path", target, "reason", reason)
	return nil
}
