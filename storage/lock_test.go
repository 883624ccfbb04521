package storage_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"corbie/munin"
	"corbie/storage"
)

func TestLockNamesTheProcessThatHoldsTheDataFolder(t *testing.T) {
	dir := t.TempDir() + "/data"
	release, err := storage.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = storage.Lock(dir)
	want := fmt.Sprintf("data folder %s is in use by process %d", dir, os.Getpid())
	if !errors.Is(err, munin.ErrInUse) || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("got %v, want ErrInUse with %q", err, want)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, err = storage.Lock(dir)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

func TestLockEndsWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	child := startChild(t, "lock", dir)
	if line := child.line(t); line != "locked" {
		t.Fatalf("child said %q", line)
	}
	_, err := storage.Lock(dir)
	if !errors.Is(err, munin.ErrInUse) || !strings.Contains(err.Error(), "process "+strconv.Itoa(child.process.Pid)) {
		t.Errorf("while the child holds it: %v", err)
	}
	child.kill(t)
	release, err := storage.Lock(dir)
	if err != nil {
		t.Fatalf("after the child was killed: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

func childLock(dir string) error {
	if _, err := storage.Lock(dir); err != nil {
		return err
	}
	fmt.Println("locked")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n') // until killed
	return err
}
