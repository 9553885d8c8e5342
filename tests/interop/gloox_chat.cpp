// Two accounts of the server under test talk through gloox: log-on over STARTTLS, SCRAM, and a message each way.
// Takes what the scripts beside it take. gloox 1.0.24 verifies with the system's authorities alone (what
// setCACerts gets is never read), so the certificate is compared by its name.
//
//     g++ -std=c++17 gloox_chat.cpp -o gloox_chat -lgloox

#include <gloox/client.h>
#include <gloox/connectionlistener.h>
#include <gloox/error.h>
#include <gloox/loghandler.h>
#include <gloox/message.h>
#include <gloox/messagehandler.h>
#include <gloox/presencehandler.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <regex>
#include <string>
#include <vector>

using namespace gloox;

// Seconds for which an expected event is waited for before the program fails.
const auto PATIENCE = std::chrono::seconds(20);
const std::string TEXT = "Grüße aus Zürich: 你好, 🌳 & <b>\"'";

[[noreturn]] static void failed(const std::string& why) {
    std::cout << "FAILED: " << why << std::endl;
    std::exit(1);
}

// A client that prints its transcript and keeps what arrives.
struct Peer : ConnectionListener, LogHandler, MessageHandler, PresenceHandler {
    Peer(std::string name, const std::string& user, const std::string& host, int port, const std::string& ca)
        : name(std::move(name)), client(JID(user.substr(0, user.find(':')) + "/" + this->name), user.substr(user.find(':') + 1)) {
        client.setServer(host);
        client.setPort(port);
        client.setTls(TLSRequired);
        client.setCACerts({ca});
        domain = client.jid().server();
        client.registerConnectionListener(this);
        client.registerMessageHandler(this);
        client.registerPresenceHandler(this);
        client.logInstance().registerLogHandler(LogLevelDebug, LogAreaXmlIncoming | LogAreaXmlOutgoing, this);
        if (!client.connect(false)) failed(this->name + ": no connection");
    }

    void onConnect() override { connected = true; }

    void onDisconnect(ConnectionError error) override {
        if (!ending)
            failed(name + ": disconnected, error " + std::to_string(error) + ", authentication error "
                   + std::to_string(client.authError()) + ", stream error " + std::to_string(client.streamError()));
        gone = true;
    }

    bool onTLSConnect(const CertInfo& info) override {
        std::cout << "  " << name << " has " << info.protocol << ", a certificate for " << info.server << ", status "
                  << info.status << std::endl;
        const int unknown = CertInvalid | CertSignerUnknown | CertWrongPeer;
        return (info.status & ~unknown) == 0 && info.server.find("CN=" + domain) != std::string::npos;
    }

    void handleLog(LogLevel, LogArea area, const std::string& xml) override {
        static const std::regex secret("(<(?:auth|response|challenge|success) [^>]*>)[^<]+");
        std::cout << "  " << name << (area == LogAreaXmlOutgoing ? " C: " : " S: ") << std::regex_replace(xml, secret, "$1…") << std::endl;
    }

    void handleMessage(const Message& message, MessageSession*) override {
        body = message.body();
        from = message.from().full();
    }

    void handlePresence(const Presence& presence) override { available |= presence.from() == client.jid(); }

    std::string name;
    Client client;
    std::string domain, body, from;
    bool connected = false, available = false, ending = false, gone = false;
};

// Lets both work until it is so.
static void until(Peer& a, Peer& b, const std::string& what, const std::function<bool()>& so) {
    const auto late = std::chrono::steady_clock::now() + PATIENCE;
    while (!so()) {
        if (std::chrono::steady_clock::now() > late) failed("no " + what);
        if (!a.gone) a.client.recv(20000);
        if (!b.gone) b.client.recv(20000);
    }
}

static void chat(Peer& a, Peer& b, const JID& to, const std::string& text) {
    a.client.send(Message(Message::Chat, to, text));
    until(a, b, "message from " + a.name, [&] { return b.body == text; });
    if (b.from != a.client.jid().full()) failed("the sender is " + b.from);
}

int main(int argc, char** argv) {
    std::string host = "127.0.0.1", ca;
    std::vector<std::string> users;
    int port = 0;
    for (int n = 1; n + 1 < argc; n += 2) {
        const std::string option = argv[n], value = argv[n + 1];
        if (option == "--host") host = value;
        else if (option == "--port") port = std::stoi(value);
        else if (option == "--ca") ca = value;
        else if (option == "--user") users.push_back(value);
    }
    if (users.size() != 2 || port == 0 || ca.empty()) failed("--port, --ca and two --user are needed");
    std::cout << "# both log on over STARTTLS with SCRAM" << std::endl;
    Peer a("a", users[0], host, port, ca), b("b", users[1], host, port, ca);
    until(a, b, "log-on", [&] { return a.connected && b.connected; });
    until(a, b, "presence", [&] { return a.available && b.available; });
    std::cout << "# chat" << std::endl;
    chat(a, b, b.client.jid().bareJID(), TEXT);
    chat(b, a, JID(b.from), "re: " + TEXT);
    a.ending = b.ending = true;
    a.client.disconnect();
    b.client.disconnect();
    std::cout << "PASSED" << std::endl;
}
