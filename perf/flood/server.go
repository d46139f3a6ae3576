package flood

import (
	"bufio"
	"fmt"
	"net"

	"github.com/xlvs/xlvs/internal/testnet"
)

// serve answers each line on the web port with the server's number and the line.
func serve(ns *testnet.Namespace, number byte) (stop func() error, err error) {
	var listener net.Listener
	if err := ns.Do(func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf(":%d", webPort))
		return err
	}); err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go answer(conn, number)
		}
	}()
	return listener.Close, nil
}

func answer(conn net.Conn, number byte) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if _, err := fmt.Fprintf(conn, "%d %s\n", number, lines.Text()); err != nil {
			return
		}
	}
}
