// As much of the package bull as the sample uses, in memory.
export default class Queue {
  #work;

  process(work) {
    this.#work = work;
  }

  async add(data) {
    setImmediate(() => this.#work({ data }).catch(console.error));
  }
}
