// Go's TLS as a program that passes its input on: client PORT CA VERSION [SUITE]. The line ^resume^ is for
// itself: it connects again with the session it has.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
)

func fail(err error) {
	if err != nil {
		fmt.Println("client:", err)
		os.Exit(1)
	}
}

func main() {
	pem, err := os.ReadFile(os.Args[2])
	fail(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	version := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[os.Args[3]]
	config := &tls.Config{
		RootCAs: roots, ServerName: "localhost", MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	for _, suite := range tls.CipherSuites() {
		if len(os.Args) > 4 && suite.Name == os.Args[4] {
			config.CipherSuites = []uint16{suite.ID}
		}
	}
	input := bufio.NewReader(os.Stdin)
	for again := true; again; {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[1], config)
		fail(err)
		state := conn.ConnectionState()
		fmt.Println("connected", tls.CipherSuiteName(state.CipherSuite), "resumed", state.DidResume)
		ended := make(chan error)
		go func() {
			_, err := io.Copy(os.Stdout, conn)
			ended <- err
		}()
		again = pass(input, conn)
		fail(conn.CloseWrite())
		fail(<-ended)
		conn.Close()
	}
}

// Until the end of the input; whether it is to connect again.
func pass(input *bufio.Reader, conn *tls.Conn) bool {
	for {
		line, err := input.ReadString('\n')
		if err != nil || line == "^resume^\n" {
			return err == nil
		}
		_, err = io.WriteString(conn, line)
		fail(err)
	}
}
