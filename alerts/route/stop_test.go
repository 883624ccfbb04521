package route_test

import (
	"net"
	"testing"
	"time"

	"corbie/alerts/route"
)

func TestStopDoesNotWaitForAServerThatHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connected := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connected <- conn // and not one word
		}
	}()
	r := start(t, t.TempDir(), route.Receiver{Name: "ops", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port,
	}})
	r.tell(newThing("web;www1", "df", "root").is(97))
	conn := receive(t, connected, "a connection to the mail server")
	defer conn.Close()
	begun := time.Now()
	r.stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the stop took %s", took)
	}
}
