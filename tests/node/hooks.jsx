// A customer's page made with svix-react: every hook at work, each in a section of its own.
// `window.access` says whom it speaks for: { token, appId, serverUrl }.
import React, { useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import * as svix from "svix-react";

const { access } = window;

function Section({ name, of, children }) {
  return (
    <section aria-label={name}>
      <h2>{name}</h2>
      {of?.error && <p role="alert">{`${name}: ${of.error} ${JSON.stringify(of.error.body)}`}</p>}
      {of?.loading && <p role="status">loading</p>}
      {of?.reload && <button onClick={of.reload}>Reload</button>}
      {of?.nextPage && <button onClick={of.prevPage} disabled={!of.hasPrevPage}>Previous</button>}
      {of?.nextPage && <button onClick={of.nextPage} disabled={!of.hasNextPage}>Next</button>}
      {children}
    </section>
  );
}

function List({ of, text, children }) {
  return <ul>{of.data?.map((one) => <li key={one.id}>{text(one)} {children?.(one)}</li>)}</ul>;
}

const Json = ({ of }) => <output>{JSON.stringify(of)}</output>;

function Page() {
  const { appId } = svix.useSvix();
  const [endpoint, setEndpoint] = useState();
  const [message, setMessage] = useState();
  return (
    <main>
      <h1>{appId}</h1>
      <EventTypes />
      <NewEndpoint />
      <Endpoints pick={setEndpoint} />
      {endpoint && <Endpoint key={endpoint} id={endpoint} />}
      <Messages pick={setMessage} />
      {message && <Message key={message} id={message} />}
    </main>
  );
}

function EventTypes() {
  const of = svix.useEventTypes({ limit: 2 });
  return <Section name="Event types" of={of}><List of={of} text={(one) => `${one.name}: ${one.description}`} /></Section>;
}

function NewEndpoint() {
  const { url, description, eventTypes, rateLimitPerSecond, createEndpoint } = svix.useNewEndpoint();
  const [done, setDone] = useState();
  const add = async () => {
    const { endpoint, error } = await createEndpoint();
    setDone(error ? { code: error.code, body: error.body } : endpoint);
  };
  const types = (text) => eventTypes.setValue(text ? text.split(" ") : []);
  return (
    <Section name="New endpoint">
      <label>URL <input value={url.value} onChange={(e) => url.setValue(e.target.value)} /></label>
      <label>Description <input value={description.value} onChange={(e) => description.setValue(e.target.value)} /></label>
      <label>Types <input value={eventTypes.value.join(" ")} onChange={(e) => types(e.target.value)} /></label>
      <label>Rate <input onChange={(e) => rateLimitPerSecond.setValue(Number(e.target.value))} /></label>
      <button onClick={add}>Add</button>
      <Json of={done} />
    </Section>
  );
}

function Endpoints({ pick }) {
  const of = svix.useEndpoints({ limit: 2 });
  return (
    <Section name="Endpoints" of={of}>
      <List of={of} text={(one) => one.url}>{(one) => <button onClick={() => pick(one.id)}>Open</button>}</List>
    </Section>
  );
}

function Endpoint({ id }) {
  const one = svix.useEndpoint(id);
  const secret = svix.useEndpointSecret(id);
  const headers = svix.useEndpointHeaders(id);
  const stats = svix.useEndpointStats(id);
  const { recoverEndpointMessages, updateEndpoint, deleteEndpoint } = svix.useEndpointFunctions(id);
  const [done, setDone] = useState();
  const act = (name, what) => (
    <button onClick={() => what().then((answer) => setDone({ name, answer }), (error) => setDone({ name, error: error.body }))}>{name}</button>
  );
  const { url, description, filterTypes, rateLimit, version } = one.data ?? {};
  return (
    <>
      <Section name="Endpoint" of={one}><Json of={one.data} /></Section>
      <Section name="Secret" of={secret}>
        <Json of={secret.data} />
        {act("Rotate", () => secret.rotateSecret({}))}
      </Section>
      <Section name="Headers" of={headers}>
        <Json of={headers.data} />
        {act("Set headers", () => headers.updateEndpointHeaders({ headers: { "x-first": "1", "x-second": "2" } }))}
        {act("Change headers", () => headers.patchEndpointHeaders({ headers: { "x-second": "3" } }))}
      </Section>
      <Section name="Stats" of={stats}><Json of={stats.data} /></Section>
      <Section name="Functions">
        {act("Recover", () => recoverEndpointMessages({ since: new Date(Date.now() - 3600_000) }))}
        {act("Update", () => updateEndpoint({ url, filterTypes, rateLimit, version, description: `${description} mended` }))}
        {act("Delete", () => deleteEndpoint())}
        <Json of={done} />
      </Section>
      <EndpointAttempts id={id} />
      <AttemptedMessages id={id} />
    </>
  );
}

const HOUR = 3600_000;

function EndpointAttempts({ id }) {
  const [status, setStatus] = useState();
  const after = useMemo(() => new Date(Date.now() - HOUR), []);
  const before = useMemo(() => new Date(Date.now() + HOUR), []);
  const statusCodeClass = status === undefined ? undefined : status === 0 ? 200 : 500;
  const of = svix.useEndpointMessageAttempts(id, { status, statusCodeClass, after, before, withMsg: true, withContent: true });
  return (
    <Section name="Endpoint's attempts" of={of}>
      <button onClick={() => setStatus(0)}>Only delivered</button>
      <button onClick={() => setStatus(2)}>Only failed</button>
      <List of={of} text={(one) => `${one.msg?.eventType} ${one.responseStatusCode} ${one.response}`}>
        {(one) => <Resend attempt={one} />}
      </List>
    </Section>
  );
}

function Resend({ attempt }) {
  const { resendAttempt } = svix.useAttemptFunctions(attempt);
  const [done, setDone] = useState("");
  return <button onClick={() => resendAttempt().then(() => setDone("done"), (error) => setDone(`${error} ${JSON.stringify(error.body)}`))}>Resend {done}</button>;
}

function AttemptedMessages({ id }) {
  const of = svix.useAttemptedMessages(id, { withContent: true });
  return (
    <Section name="Attempted messages" of={of}>
      <List of={of} text={(one) => `${one.eventType} ${JSON.stringify(one.payload)} ${one.status}`} />
    </Section>
  );
}

function Messages({ pick }) {
  const eventTypes = useMemo(() => [{ name: "order.filled" }, { name: "order.canceled" }], []);
  const of = svix.useMessages({ limit: 2, eventTypes, withContent: true });
  return (
    <Section name="Messages" of={of}>
      <List of={of} text={(one) => `${one.eventType} ${JSON.stringify(one.payload)}`}>
        {(one) => <button onClick={() => pick(one.id)}>Open</button>}
      </List>
    </Section>
  );
}

function Message({ id }) {
  const one = svix.useMessage(id);
  const endpoints = svix.useMessageEndpoints(id);
  const attempts = svix.useMessageAttempts(id);
  return (
    <>
      <Section name="Message" of={one}><Json of={one.data} /></Section>
      <Section name="Message's endpoints" of={endpoints}>
        <List of={endpoints} text={(each) => `${each.url} ${each.status} ${each.nextAttempt ?? "no next attempt"}`} />
      </Section>
      <Section name="Message's attempts" of={attempts}>
        <List of={attempts} text={(each) => `${each.responseStatusCode} ${each.triggerType}`}>
          {(each) => <Resend attempt={each} />}
        </List>
      </Section>
    </>
  );
}

createRoot(document.body).render(
  <svix.SvixProvider token={access.token} appId={access.appId} options={{ serverUrl: access.serverUrl }}>
    <Page />
  </svix.SvixProvider>,
);
