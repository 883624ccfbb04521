package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"corbie/internal/testenv"
)

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/lib
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.com
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = example.com
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:inbox/
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
`

const postfixMaster = `%s inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`

// postfix is a Debian Postfix that delivers everything for example.com into one maildir.
type postfix struct {
	address, dir string
}

func startPostfix(t *testing.T) *postfix {
	t.Helper()
	testenv.Program(t, "postfix")
	testenv.Root(t)
	dir := testenv.PublicDir(t)
	m := &postfix{address: testenv.FreeAddress(t, "tcp"), dir: dir}
	for _, sub := range []string{"etc", "queue", "lib", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	testenv.WriteFile(t, filepath.Join(dir, "etc", "main.cf"), fmt.Sprintf(postfixMain, dir), 0o644)
	testenv.WriteFile(t, filepath.Join(dir, "etc", "master.cf"), fmt.Sprintf(postfixMaster, m.address), 0o644)
	uid, err := exec.Command("id", "-u", "postfix").Output()
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(uid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "lib"), id, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "mail"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	m.control(t, "start")
	t.Cleanup(func() { m.control(t, "abort") })
	return m
}

// control runs postfix(1); its output goes to a file, because the daemon would keep a pipe open.
func (m *postfix) control(t *testing.T, verb string) {
	t.Helper()
	out, err := os.Create(filepath.Join(m.dir, verb+".out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("/usr/sbin/postfix", "-c", filepath.Join(m.dir, "etc"), verb)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		t.Errorf("postfix %s: %v\n%s", verb, err, said)
	}
}

// received is every mail in the maildir.
func (m *postfix) received(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(m.dir, "mail", "inbox", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	mails := make([]string, 0, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, string(text))
	}
	return mails
}

func TestMailArrivesThroughPostfix(t *testing.T) {
	t.Parallel()
	mx := startPostfix(t)
	w := newWatch(t)
	testenv.WriteFile(t, w.conf, strings.ReplaceAll(readFile(t, w.conf), w.mail.address, mx.address), 0o644)
	startMaster(t, w.data, w.conf)

	w.set(t, "120")
	testenv.Eventually(t, "the notice is in the maildir", func() bool { return len(mx.received(t)) == 1 })
	w.set(t, "10")
	testenv.Eventually(t, "the recovery is in the maildir", func() bool { return len(mx.received(t)) == 2 })
	for _, mail := range mx.received(t) {
		if !strings.Contains(mail, "web1") || !strings.Contains(mail, "Mails in the queue") {
			t.Errorf("the mail does not name the host and the graph:\n%s", mail)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
