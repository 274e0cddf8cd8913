//! TLS, SASL, authorization and delegation tokens.

use crate::config::broker::BrokerRow;
use crate::config::broker_rows::rows;
use crate::config::def::Rule::{Any, AtLeast, OneOf};

pub(super) const ROWS: &[BrokerRow] = rows! {
    Fixed ["security.inter.broker.protocol", Text, "PLAINTEXT",
           OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), Stored,
           "The protocol brokers use among themselves."];
    Fixed ["authorizer.class.name", Text, "", Any, Stored, "The authorizer; empty is none."];
    Fixed ["super.users", Text, null, Any, Stored, "Principals who may do everything."];
    Fixed ["allow.everyone.if.no.acl.found", Bool, "false", Any, Stored,
           "Whether what no ACL mentions is open to all."];
    Node ["principal.builder.class", Class, null, Any, Stored, "A Java class that names principals."];
    Node ["ssl.client.auth", Text, "none", OneOf(&["required", "requested", "none"]), Stored,
          "Whether clients show a certificate."];
    Fixed ["ssl.principal.mapping.rules", Text, "DEFAULT", Any, Stored,
           "How a certificate's name becomes a principal."];
    Node ["ssl.protocol", Text, "TLSv1.3", Any, Stored, "The TLS version."];
    Node ["ssl.provider", Text, null, Any, Stored, "The Java security provider."];
    Node ["ssl.cipher.suites", List, "", Any, Stored, "The cipher suites."];
    Node ["ssl.enabled.protocols", List, "TLSv1.2,TLSv1.3", Any, Stored, "The TLS versions that are accepted."];
    Node ["ssl.keystore.type", Text, "JKS", Any, Stored, "The format of the key store."];
    Node ["ssl.keystore.location", Text, null, Any, Stored, "Where the key store is."];
    Node ["ssl.keystore.password", Password, null, Any, Stored, "The key store's password."];
    Node ["ssl.keystore.key", Password, null, Any, Stored, "The private key, as PEM."];
    Node ["ssl.keystore.certificate.chain", Password, null, Any, Stored, "The certificates, as PEM."];
    Node ["ssl.key.password", Password, null, Any, Stored, "The private key's password."];
    Node ["ssl.truststore.type", Text, "JKS", Any, Stored, "The format of the trust store."];
    Node ["ssl.truststore.location", Text, null, Any, Stored, "Where the trust store is."];
    Node ["ssl.truststore.password", Password, null, Any, Stored, "The trust store's password."];
    Node ["ssl.truststore.certificates", Password, null, Any, Stored, "The trusted certificates, as PEM."];
    Node ["ssl.keymanager.algorithm", Text, "SunX509", Any, Stored, "Java's key manager."];
    Node ["ssl.trustmanager.algorithm", Text, "PKIX", Any, Stored, "Java's trust manager."];
    Node ["ssl.endpoint.identification.algorithm", Text, "https", Any, Stored, "How a peer's name is checked."];
    Node ["ssl.secure.random.implementation", Text, null, Any, Stored, "Java's random numbers."];
    Node ["ssl.engine.factory.class", Class, null, Any, Stored, "A Java class that makes TLS engines."];
    Fixed ["ssl.allow.dn.changes", Bool, "false", Any, Stored, "Whether a new certificate may have another name."];
    Fixed ["ssl.allow.san.changes", Bool, "false", Any, Stored,
           "Whether a new certificate may have other alternative names."];
    Node ["sasl.enabled.mechanisms", List, "GSSAPI", Any, Stored, "The SASL mechanisms that are served."];
    Node ["sasl.mechanism.inter.broker.protocol", Text, "GSSAPI", Any, Stored,
          "The SASL mechanism brokers use among themselves."];
    Fixed ["sasl.mechanism.controller.protocol", Text, "GSSAPI", Any, Stored,
           "The SASL mechanism of the metadata quorum."];
    Node ["sasl.jaas.config", Password, null, Any, Stored, "Users and their passwords, in JAAS form."];
    Fixed ["sasl.client.callback.handler.class", Class, null, Any, Stored, "A Java class."];
    Fixed ["sasl.server.callback.handler.class", Class, null, Any, Stored, "A Java class."];
    Fixed ["sasl.login.class", Class, null, Any, Stored, "A Java class."];
    Fixed ["sasl.login.callback.handler.class", Class, null, Any, Stored, "A Java class."];
    Fixed ["sasl.server.max.receive.size", Int, "524288", Any, Stored, "The largest SASL message."];
    Node ["sasl.kerberos.service.name", Text, null, Any, Stored, "The Kerberos principal."];
    Node ["sasl.kerberos.kinit.cmd", Text, "/usr/bin/kinit", Any, Stored, "Kerberos kinit."];
    Node ["sasl.kerberos.ticket.renew.window.factor", Double, "0.8", Any, Stored, "When a ticket is renewed."];
    Node ["sasl.kerberos.ticket.renew.jitter", Double, "0.05", Any, Stored, "How much that varies."];
    Node ["sasl.kerberos.min.time.before.relogin", Long, "60000", Any, Stored, "The pause between logins."];
    Node ["sasl.kerberos.principal.to.local.rules", List, "DEFAULT", Any, Stored,
          "How a Kerberos principal becomes a name."];
    Node ["sasl.login.refresh.window.factor", Double, "0.8", Any, Stored, "When a token is renewed."];
    Node ["sasl.login.refresh.window.jitter", Double, "0.05", Any, Stored, "How much that varies."];
    Node ["sasl.login.refresh.min.period.seconds", Short, "60", Any, Stored, "The pause between renewals."];
    Node ["sasl.login.refresh.buffer.seconds", Short, "300", Any, Stored, "How long before its end a token is renewed."];
    Fixed ["delegation.token.secret.key", Password, null, Any, Stored, "The key tokens are signed with."];
    Fixed ["delegation.token.max.lifetime.ms", Long, "604800000", AtLeast(1), Stored, "How long a token may live."];
    Fixed ["delegation.token.expiry.time.ms", Long, "86400000", AtLeast(1), Stored, "When a token must be renewed."];
    Fixed ["delegation.token.expiry.check.interval.ms", Long, "3600000", AtLeast(1), Stored,
           "How often expired tokens are looked for."];
};
