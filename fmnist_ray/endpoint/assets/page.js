// The page of the endpoint. Text from outside is only ever set as textContent; nothing is fetched from elsewhere.
"use strict";

const PER_REQUEST = 32;        // photos sent together
const REQUEST_BYTES = 12e6;    // and their size
const SHOWN = 24;              // cards; the table has all
const NUM_SAMPLES = 10;
const at = id => document.getElementById(id);
const answers = [];            // {name, result}
const COLUMNS = [
  "label", "confidence", "decision", "decision_reason", "label_set", "cnn_label", "cnn_confidence", "svm_label",
  "svm_confidence", "agree", "novelty", "photo_problem",
];
let alarmRate = 0;             // p-values up to it are an alarm
let key = sessionStorage.getItem("key");
let sending = Promise.resolve();

async function request(path, options = {}) {
  const headers = {...options.headers, ...(key ? {Authorization: `Bearer ${key}`} : {})};
  const response = await fetch(path, {...options, headers}).catch(() => {
    throw new Error("The endpoint can't be reached; is it still running?");
  });
  if (response.status === 401) {
    at("key-form").hidden = false;
    at("key").focus();
  }
  if (response.ok) return response;
  const document = await response.json().catch(() => ({}));
  const error = new Error(document.detail || `The endpoint answered ${response.status}.`);
  error.again = response.status === 503;
  throw error;
}

const ask = async (path, options) => (await request(path, options)).json();

async function patiently(path, options) {
  for (let pause = 500; ; pause *= 2) {
    try {
      return await request(path, options);
    } catch (error) {
      if (!error.again || pause > 8000) throw error;
      say("The endpoint is busy; trying again …");
      await new Promise(resolve => setTimeout(resolve, pause));
    }
  }
}

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

async function showModel() {
  try {
    const bundle = await ask("/v1/bundle");
    const accuracy = bundle.metrics.test_accuracy;
    const reached = typeof accuracy === "number" ? `, ${(100 * accuracy).toFixed(2)} % right on test images` : "";
    at("model").textContent = `${bundle.labels.length} classes by ${bundle.architecture}${reached} (bundle ${bundle.digest.slice(0, 12)})`;
    alarmRate = bundle.promises.alarm_rate;
    at("key-form").hidden = true;
  } catch (error) {
    at("model").textContent = error.message;
  }
}

function parts(files) {
  const found = [];
  let size = 0;
  for (const file of files) {
    const last = found.at(-1);
    if (!last || last.length === PER_REQUEST || size + file.size > REQUEST_BYTES) {
      found.push([file]);
      size = file.size;
    } else {
      last.push(file);
      size += file.size;
    }
  }
  return found;
}

function classify(files) {
  const photos = [...files];
  sending = sending.then(() => send(photos)).catch(error => say(error.message, true));
}

async function send(files) {
  if (!files.length) return say("There was no photo in that.", true);
  const started = performance.now();
  let finished = 0;
  for (const part of parts(files)) {
    say(`Classifying ${finished + 1} to ${finished + part.length} of ${files.length} …`);
    const form = new FormData();
    part.forEach(file => form.append("images", file, file.name || "pasted image"));
    const {results} = await (await patiently("/v1/classify?top_k=3", {method: "POST", body: form})).json();
    show(part, results);
    finished += part.length;
  }
  const seconds = (performance.now() - started) / 1000;
  say(`${finished} ${finished === 1 ? "photo" : "photos"} in ${seconds.toFixed(2)} s, with the way there and back.`);
}

const percent = share =>
  share > .9995 && share < 1 ? "> 99.9 %" : share < .0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;

function show(files, results) {
  at("answers").hidden = false;
  const cards = results.map((result, number) => {
    const name = files[number].name || "pasted image";
    answers.push({name, result});
    addRow(name, result);
    return makeCard(files[number], name, result);
  });
  at("cards").prepend(...cards);
  while (at("cards").children.length > SHOWN) at("cards").lastElementChild.remove();
}

function addRow(name, result) {
  const row = at("rows").insertRow();
  const problem = result.error ? `${result.error.reason}: ${result.error.detail}` : "";
  const confidence = result.error ? "" : percent(result.confidence);
  const cells = [name, result.label || "", confidence, decision(result) || "", problem];
  for (const text of cells) row.insertCell().textContent = text;
  row.cells[4].className = "bad";
}

function makeCard(file, name, result) {
  const card = at("card").content.cloneNode(true).firstElementChild;
  const image = card.querySelector("img");
  image.src = URL.createObjectURL(file);
  image.alt = name;
  image.onload = () => URL.revokeObjectURL(image.src);
  image.onerror = () => image.parentElement.remove();
  card.querySelector(".label").textContent = result.error ? "No answer" : result.label;
  card.querySelector(".what").textContent = name;
  if (result.error) {
    const reason = document.createElement("li");
    reason.className = "bad";
    reason.style.display = "block";
    reason.textContent = `${result.error.reason}: ${result.error.detail}`;
    card.querySelector(".bars").append(reason);
  } else {
    card.querySelector(".bars").append(...result.top.map(bar));
    card.querySelector(".notes").append(...notes(result).map(text => Object.assign(document.createElement("li"), {textContent: text})));
    const badge = card.querySelector(".decision");
    badge.textContent = decision(result);
    badge.hidden = !result.decision;
    badge.classList.add(result.decision);
    addLook(card, file, name, result);
  }
  return card;
}

// A button that shows the photo as the network gets it, under a map of what spoke for the label, and the photo again.
function addLook(card, file, name, result) {
  const image = card.querySelector("img");
  const button = card.querySelector(".look");
  let map = null;
  button.hidden = false;
  button.setAttribute("aria-label", `Where it looked in ${name}`);
  const look = async () => {
    if (!map) {
      say("Looking; the first time takes some seconds …");
      const body = {method: "POST", body: file, headers: {"Content-Type": "application/octet-stream"}};
      map = await (await patiently(`/v1/explain?label=${result.label_id}`, body)).blob();
      say("");
    }
    const shown = button.getAttribute("aria-pressed") === "true";
    image.src = URL.createObjectURL(shown ? file : map);
    button.setAttribute("aria-pressed", String(!shown));
    button.textContent = shown ? "Where it looked" : "The photo";
  };
  button.onclick = async () => {
    button.disabled = true;
    await look().catch(error => say(error.message, true));
    button.disabled = false;
  };
}

function decision(result) {
  return result.decision ? `${result.decision}: ${result.decision_reason.replaceAll("_", " ")}` : null;
}

function notes(result) {
  const found = [];
  if (result.photo_problem) found.push(`The photo is ${result.photo_problem}.`);
  if (result.novelty !== undefined && result.novelty <= alarmRate)
    found.push(`Unlike all classes: of good photos ${percent(result.novelty)} are as strange.`);
  if (result.label_set && !result.label_set.length) found.push("Typical of no class.");
  if (result.label_set && result.label_set.length > 1) found.push(`May also be ${result.label_set.filter(each => each !== result.label).join(", ")}.`);
  if (result.agree === false)
    found.push(`The heads differ: network ${result.cnn_label} ${percent(result.cnn_confidence)}, SVM ${result.svm_label} ${percent(result.svm_confidence)}.`);
  if (result.agree) found.push(`Both heads agree: network ${percent(result.cnn_confidence)}, SVM ${percent(result.svm_confidence)}.`);
  return found;
}

function bar({label, confidence}) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  const meter = document.createElement("progress");
  const number = document.createElement("span");
  name.textContent = label;
  meter.value = confidence;
  meter.setAttribute("aria-label", label);
  number.textContent = percent(confidence);
  item.append(name, meter, number);
  return item;
}

// A cell that starts like a formula gets a ' before it, so that a spreadsheet does not run it (OWASP, CSV injection).
function cell(value) {
  const text = String(value ?? "");
  return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

function csv() {
  const lines = [["name", ...COLUMNS, "reason", "detail", "bundle_digest"]];
  for (const {name, result} of answers) {
    const error = result.error || {};
    const values = COLUMNS.map(column => Array.isArray(result[column]) ? result[column].join("; ") : result[column]);
    lines.push([name, ...values, error.reason, error.detail, result.bundle_digest]);
  }
  return lines.map(line => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function saveCsv() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
  link.download = "answers.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

function clear() {
  answers.length = 0;
  at("rows").replaceChildren();
  at("cards").replaceChildren();
  at("answers").hidden = true;
  say("");
  at("files").focus();
}

function addSamples() {
  for (let number = 0; number < NUM_SAMPLES; number++) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    button.type = "button";
    button.title = `Sample ${number + 1}`;
    image.alt = `Sample ${number + 1}`;
    image.src = `/page/samples/${number}`;
    button.append(image);
    button.onclick = async () => {
      const blob = await (await fetch(image.src)).blob();
      classify([new File([blob], `sample-${number + 1}.png`, {type: "image/png"})]);
    };
    at("samples").append(button);
  }
}

at("files").onchange = event => {
  classify(event.target.files);
  event.target.value = "";
};
at("key-form").onsubmit = event => {
  event.preventDefault();
  key = at("key").value;
  sessionStorage.setItem("key", key);
  say("");
  showModel();
};
at("csv").onclick = saveCsv;
at("clear").onclick = clear;
document.addEventListener("paste", event => {
  if (event.clipboardData.files.length) classify(event.clipboardData.files);
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, event => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", event => event.relatedTarget || at("drop").classList.remove("over"));
document.addEventListener("drop", event => {
  event.preventDefault();
  at("drop").classList.remove("over");
  classify(event.dataTransfer.files);
});

addSamples();
showModel();
